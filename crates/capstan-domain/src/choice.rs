//! The words of a choice that is sent as a text, and their schema.
//!
//! Such a text is read with less rigour than its schema says: blanks around it do not matter, and a blank text counts as
//! absent. The schema lists the words, and [`READ`] says how far the case of letters matters.

/// Extension of the schema of a choice: `any-case`, or `exact-case`.
pub const READ: &str = "x-read";

/// The fault of a text in a field that is none of its words.
pub(crate) fn unsupported<'a>(field: &str, text: &str, words: impl Iterator<Item = &'a str>) -> String {
    let supported = words.collect::<Vec<_>>().join(", ");
    format!("{field} {text:?} is not supported (supported: {supported})")
}

/// Declares a type that is nothing but the schema of these words.
macro_rules! word {
    ($(#[$doc:meta])* $vis:vis $name:ident, $read:literal, is_inline: $is_inline:literal, $words:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $name;

        impl ::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                $is_inline
            }

            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                let words: Vec<&str> = $words.collect();
                ::schemars::json_schema!({
                    "type": "string", "enum": words, ($crate::choice::READ): $read,
                })
            }
        }
    };
}

pub(crate) use word;
