//! One field of a cron expression.
//!
//! A field is a list of items: `*` or `?` (everything), a value, or a range `a-b`, each with an optional step
//! `/n`. A single value with a step runs to the field's maximum: `5/10` is `5-59/10` in minutes. Months and
//! weekdays may be named by three letters in any case. Sunday is 0 or 7; an open step ends on Saturday.
//!
//! A day field with `*` or `?` in its list is unrestricted, also as `*/1`; `*/2` and wider restrict it. This is
//! how the reference's parser counts, and it decides whether "either day may match" applies.

use std::fmt;

/// A field of a cron expression, or the whole of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CronField {
    /// The expression as a whole: the number of fields, or a descriptor.
    Expression,
    /// Minute, 0 to 59.
    Minute,
    /// Hour, 0 to 23.
    Hour,
    /// Day of the month, 1 to 31.
    DayOfMonth,
    /// Month, 1 to 12 or a name.
    Month,
    /// Day of the week, 0 (Sunday) to 7 (Sunday again) or a name.
    DayOfWeek,
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Sunday's second number.
const SEVENTH: u32 = 7;

impl CronField {
    /// Least and greatest value of a whole, starred or open field.
    fn span(self) -> (u32, u32) {
        match self {
            Self::Expression | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
        }
    }

    /// Greatest value that may be written down.
    fn greatest(self) -> u32 {
        if self == Self::DayOfWeek { SEVENTH } else { self.span().1 }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => MONTHS,
            Self::DayOfWeek => WEEKDAYS,
            Self::Expression | Self::Minute | Self::Hour | Self::DayOfMonth => &[],
        }
    }

    fn fault(self, message: String) -> CronFault {
        CronFault { field: self, message }
    }

    /// A number or name within the field's bounds.
    fn value(self, text: &str) -> Result<u32, CronFault> {
        let (least, _) = self.span();
        if let Some(place) = self.names().iter().position(|name| text.eq_ignore_ascii_case(name)) {
            return Ok(least + place as u32);
        }
        let value = number(text).ok_or_else(|| self.fault(format!("`{text}` is not a {self}")))?;
        let greatest = self.greatest();
        if (least..=greatest).contains(&value) {
            Ok(value)
        } else {
            Err(self.fault(format!("{value} is not between {least} and {greatest}")))
        }
    }
}

impl fmt::Display for CronField {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Expression => "cron expression",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of the month",
            Self::Month => "month",
            Self::DayOfWeek => "day of the week",
        })
    }
}

/// The fault of a text that is not a standard five-field cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct CronFault {
    /// The field at fault.
    pub field: CronField,
    /// The fault, for people.
    pub message: String,
}

/// The five fields of an expression, or why there are not five.
pub(super) fn split(expression: &str) -> Result<[&str; 5], CronFault> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let fault = |message: String| Err(CronField::Expression.fault(message));
    match (fields.first(), fields.len()) {
        (None, _) => fault("is empty".to_owned()),
        (Some(first), _) if first.starts_with('@') => {
            fault(format!("descriptors such as `{first}` are not understood: write five fields"))
        }
        (Some(first), _) if first.contains('=') => {
            fault(format!("`{first}` is not understood: the zone is given beside the expression"))
        }
        (_, found @ (6 | 7)) => fault(format!(
            "has {found} fields: seconds and years are not understood, write minute, hour, day of the month, month, day of the week"
        )),
        (_, found) => fields.try_into().or_else(|_| {
            fault(format!(
                "has {found} fields instead of five: minute, hour, day of the month, month, day of the week"
            ))
        }),
    }
}

/// The values at which a field ticks.
pub(super) struct Ticks {
    field: CronField,
    /// Bit n is set when the field ticks at n; Sunday is 0 here.
    values: u64,
    starred: bool,
}

impl Ticks {
    pub(super) fn parse(field: CronField, text: &str) -> Result<Self, CronFault> {
        let mut ticks = Self { field, values: 0, starred: false };
        for item in text.split(',') {
            ticks.add(item)?;
        }
        Ok(ticks)
    }

    fn add(&mut self, item: &str) -> Result<(), CronFault> {
        let field = self.field;
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let step = match step.map(|step| (step, number(step))) {
            None => None,
            Some((_, Some(step))) if step > 0 => Some(step),
            Some((step, _)) => {
                return Err(field.fault(format!("the step `{step}` in `{item}` is not a positive number")));
            }
        };
        let (from, to) = if range.is_empty() {
            return Err(field.fault(format!("`{item}` has an empty part")));
        } else if range == "*" || range == "?" {
            self.starred |= step.is_none_or(|step| step == 1);
            field.span()
        } else if let Some((from, to)) = range.split_once('-') {
            (field.value(from)?, field.value(to)?)
        } else {
            let from = field.value(range)?;
            (from, if step.is_some() { field.span().1 } else { from })
        };
        if from > to {
            return Err(field.fault(format!("`{item}` ends before it begins{}", self.sunday_hint(to))));
        }
        for value in (from..=to).step_by(step.unwrap_or(1) as usize) {
            // Both numbers of Sunday are one day.
            let value = if field == CronField::DayOfWeek { value % SEVENTH } else { value };
            self.values |= 1 << value;
        }
        Ok(())
    }

    /// The replacement for a range that ends on a Sunday.
    fn sunday_hint(&self, to: u32) -> &'static str {
        if self.field == CronField::DayOfWeek && to == 0 {
            " (at the end of a range Sunday is 7)"
        } else {
            ""
        }
    }

    /// True when the field excludes days by itself.
    pub(super) fn is_restricted(&self) -> bool {
        !self.starred
    }

    /// The values as the `cron` crate writes them: a plain list, with Sunday as 1.
    pub(super) fn list(&self) -> String {
        let (least, greatest) = self.field.span();
        let shift = u32::from(self.field == CronField::DayOfWeek);
        let values = (least..=greatest).filter(|value| self.values & (1 << value) != 0);
        values.map(|value| (value + shift).to_string()).collect::<Vec<_>>().join(",")
    }
}

/// Digits only: no sign, no blank.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
