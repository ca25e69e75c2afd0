//! Settings of `capstan serve`: defaults, then a file, then the environment, then flags.
//!
//! `settings/defaults.toml` lists all settings with their descriptions. A key that is not in it is refused in every
//! source, and all faults are reported at once.

use std::net::SocketAddr;
use std::path::Path;

use capstan_api::AdminToken;
use capstan_domain::redaction::PLACEHOLDER;
use capstan_eventlog::DurabilityHint;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Num, Tag, Value};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::composition::Roles;
use crate::memory::{MAX_MB, MIN_MB};

/// Every setting with its default and description.
pub(crate) const DEFAULTS: &str = include_str!("settings/defaults.toml");

/// Prefix of a setting's name in the environment.
const PREFIX: &str = "CAPSTAN_";
/// Variables with this prefix that are no settings: those of clients, of the launcher, and the passwords in the template
/// of NATS users.
const NO_SETTINGS: [&str; 7] =
    ["CONFIG", "URL", "TOKEN", "WORKSPACE", "NATS_SERVER_BIN", "POSTGRES_BIN_DIR", "NATS_PASSWORD"];
/// Prefix of secrets of tools, named by the settings of workspaces.
const TOOL_SECRETS: &str = "TOOL_";
/// Shown in the place of a secret inside a URL, where brackets would be escaped.
const MASK: &str = "redacted";
/// Variables of other programs with the same meaning.
const ALIASES: [(&str, &str); 2] = [("NATS_URL", "nats_url"), ("DATABASE_URL", "database_url")];

/// The settings of `capstan serve`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) role: Role,
    pub(crate) http: SocketAddr,
    pub(crate) nats_url: String,
    pub(crate) nats_monitor_url: String,
    pub(crate) database_url: String,
    pub(crate) admin_token: String,
    pub(crate) replicas: usize,
    pub(crate) durability: DurabilityHint,
    pub(crate) memory_mb: u32,
    pub(crate) create_workspace: String,
    pub(crate) engine: EngineSettings,
    pub(crate) rebuild: RebuildSettings,
    pub(crate) limits: Limits,
}

/// The part of Capstan that a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// All roles.
    All,
    /// HTTP and NATS.
    Api,
    /// Matching, leases and timers; one of all engines leads.
    Engine,
    /// The read models; one of all projectors writes.
    Projector,
}

impl From<Role> for Roles {
    fn from(role: Role) -> Self {
        Self {
            api: matches!(role, Role::All | Role::Api),
            engine: matches!(role, Role::All | Role::Engine),
            projector: matches!(role, Role::All | Role::Projector),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct EngineSettings {
    pub(crate) lease_ms: i64,
    pub(crate) class_concurrency: u32,
    pub(crate) cancel_grace_ms: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RebuildSettings {
    pub(crate) memory_mb: usize,
    pub(crate) workers: usize,
    pub(crate) directory: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) command_bytes: usize,
    pub(crate) message_bytes: usize,
    pub(crate) log_batch_bytes: usize,
    pub(crate) requests_per_second: f64,
    pub(crate) requests_burst: f64,
    pub(crate) wait_ms_default: u64,
    pub(crate) wait_ms: u64,
    pub(crate) bus_concurrency: usize,
    pub(crate) bus_ack_wait_ms: u64,
    pub(crate) bus_deliveries: i64,
}

/// All faults of the settings.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("read the settings:\n  {}", .0.join("\n  "))]
pub(crate) struct SettingsFaults(pub(crate) Vec<String>);

impl Settings {
    /// Reads all sources; `flags` are names of settings with their values on the command line.
    pub(crate) fn read(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: &[(&str, Option<String>)],
    ) -> Result<Self, SettingsFaults> {
        let mut reading = Reading::begin();
        if let Some(file) = file {
            reading.take_file(file);
        }
        let mut variables: Vec<_> = environment.collect();
        variables.sort();
        // Capstan's own variables take precedence over those shared with other programs.
        variables.sort_by_key(|(name, _)| !ALIASES.iter().any(|(alias, _)| alias == name));
        for (name, text) in variables {
            if let Some(setting) = setting_named_by(&name) {
                reading.take_text(&setting, &text, &name);
            }
        }
        for (setting, text) in flags {
            if let Some(text) = text {
                reading.take_text(setting, text, &format!("--{}", setting.replace('_', "-")));
            }
        }
        reading.finish()
    }

    fn validate(&self, faults: &mut Vec<String>) {
        let mut require = |holds: bool, text: &str| {
            if !holds {
                faults.push(text.to_owned());
            }
        };
        require(!self.nats_url.is_empty(), "nats_url: is required (or NATS_URL)");
        require(!self.database_url.is_empty(), "database_url: is required (or DATABASE_URL)");
        require(matches!(self.replicas, 1 | 3 | 5), "replicas: must be 1, 3 or 5");
        require(
            (MIN_MB..=MAX_MB).contains(&self.memory_mb),
            &format!("memory_mb: must be {MIN_MB} to {MAX_MB}"),
        );
        require((500..=3_600_000).contains(&self.engine.lease_ms), "engine.lease_ms: must be 500 to 3600000");
        require(self.engine.cancel_grace_ms >= 0, "engine.cancel_grace_ms: must not be negative");
        require(
            (32..=1_000_000).contains(&self.rebuild.memory_mb),
            "rebuild.memory_mb: must be 32 to 1000000",
        );
        let limits = &self.limits;
        require(
            (1_024..=1 << 20).contains(&limits.command_bytes),
            "limits.command_bytes: must be 1024 to 1048576",
        );
        require(
            limits.message_bytes <= limits.command_bytes,
            "limits.message_bytes: must be at most command_bytes",
        );
        require(limits.log_batch_bytes >= 1_024, "limits.log_batch_bytes: must be at least 1024");
        require(limits.requests_per_second > 0.0, "limits.requests_per_second: must be more than 0");
        require(limits.requests_burst >= 1.0, "limits.requests_burst: must be at least 1");
        require(limits.wait_ms_default <= limits.wait_ms, "limits.wait_ms_default: must be at most wait_ms");
        require(limits.wait_ms <= 300_000, "limits.wait_ms: must be at most 300000");
        require(limits.bus_concurrency >= 1, "limits.bus_concurrency: must be at least 1");
        require(limits.bus_ack_wait_ms >= 1_000, "limits.bus_ack_wait_ms: must be at least 1000");
        require(limits.bus_deliveries >= 1, "limits.bus_deliveries: must be at least 1");
        match AdminToken::new(&self.admin_token) {
            _ if self.admin_token.is_empty() => {
                require(
                    self.http.ip().is_loopback(),
                    "admin_token: is required when http is beyond loopback",
                );
            }
            Ok(_) => {}
            Err(error) => require(false, &format!("admin_token: {error}")),
        }
    }

    /// The settings without secrets.
    pub(crate) fn masked(mut self) -> Self {
        if !self.admin_token.is_empty() {
            PLACEHOLDER.clone_into(&mut self.admin_token);
        }
        for url in [&mut self.nats_url, &mut self.database_url, &mut self.nats_monitor_url] {
            *url = without_secrets(url);
        }
        self
    }
}

/// Addresses, separated by commas, without their secrets: passwords, and tokens in the place of a user.
fn without_secrets(urls: &str) -> String {
    let masked = |url: &str| match Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            parsed.set_password(Some(MASK)).map(|()| parsed.into())
        }
        // NATS takes a user without a password for a token.
        Ok(mut parsed) if parsed.scheme() == "nats" && !parsed.username().is_empty() => {
            parsed.set_username(MASK).map(|()| parsed.into())
        }
        Err(_) if url.contains('@') || url.contains("://") => Err(()),
        // Postgres also reads `host=… password=…`, and the password as a parameter of the URL.
        Ok(_) | Err(_) if url.to_lowercase().contains("password") => Err(()),
        Ok(_) | Err(_) => Ok(url.to_owned()),
    };
    urls.split(',')
        .map(|url| masked(url).unwrap_or_else(|()| PLACEHOLDER.to_owned()))
        .collect::<Vec<_>>()
        .join(",")
}

/// The setting named by a variable of the environment.
fn setting_named_by(variable: &str) -> Option<String> {
    if let Some((_, setting)) = ALIASES.iter().find(|(alias, _)| *alias == variable) {
        return Some((*setting).to_owned());
    }
    let name = variable.strip_prefix(PREFIX)?;
    if NO_SETTINGS.contains(&name) || name.starts_with(TOOL_SECRETS) || is_from_kubernetes(name) {
        return None;
    }
    Some(name.to_lowercase().replace("__", "."))
}

/// Kubernetes sets variables with our prefix in every container beside a service named capstan.
fn is_from_kubernetes(name: &str) -> bool {
    let name = format!("_{name}_");
    ["_SERVICE_HOST_", "_SERVICE_PORT_", "_PORT_"].iter().any(|part| name.contains(part))
}

/// Every setting by its dotted name, with its value.
fn leaves(figment: &Figment) -> Vec<(String, Value)> {
    fn walk(dict: &Dict, lead: &str, found: &mut Vec<(String, Value)>) {
        for (key, value) in dict {
            let name = if lead.is_empty() { key.clone() } else { format!("{lead}.{key}") };
            match value {
                Value::Dict(_, inner) => walk(inner, &name, found),
                value => found.push((name, value.clone())),
            }
        }
    }
    let mut found = Vec::new();
    walk(&figment.extract::<Dict>().unwrap_or_default(), "", &mut found);
    found
}

/// The settings read so far. An invalid value is reported and left out, so that the other settings are still checked.
struct Reading {
    known: Vec<(String, Value)>,
    settings: Figment,
    faults: Vec<String>,
}

impl Reading {
    fn begin() -> Self {
        let settings = Figment::from(Toml::string(DEFAULTS));
        Self { known: leaves(&settings), settings, faults: Vec::new() }
    }

    fn take_file(&mut self, file: &Path) {
        let place = file.display().to_string();
        // The provider reads a missing file as an empty one.
        if !file.is_file() {
            self.faults.push(format!("{place}: file not found"));
            return;
        }
        let provided = Figment::from(Toml::file_exact(file));
        match provided.extract::<Dict>() {
            Ok(_) => {
                for (name, value) in leaves(&provided) {
                    self.take(&name, value, &place);
                }
            }
            Err(error) => self.faults.push(format!("{place}: {error}")),
        }
    }

    /// Reads a text as the type of the setting's default.
    fn take_text(&mut self, name: &str, text: &str, place: &str) {
        let is_number = matches!(self.default_of(name), Some(Value::Num(..)));
        let value = match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(whole), _) if is_number => Value::Num(Tag::Default, Num::I64(whole)),
            (_, Ok(number)) if is_number => Value::Num(Tag::Default, Num::F64(number)),
            _ => Value::from(text),
        };
        self.take(name, value, place);
    }

    fn take(&mut self, name: &str, value: Value, place: &str) {
        let Some(default) = self.default_of(name) else {
            self.faults.push(format!("{name}: unknown setting ({place})"));
            return;
        };
        // Reported without the value: it may be a secret in the wrong place.
        if kind(default) != kind(&value) {
            self.faults.push(format!("{name}: must be {} ({place})", kind(default)));
            return;
        }
        let alone = Figment::from(Toml::string(DEFAULTS)).merge(Serialized::default(name, &value));
        match alone.extract::<Settings>() {
            Ok(_) => {
                self.settings = std::mem::take(&mut self.settings).merge(Serialized::default(name, value));
            }
            Err(error) => self.faults.push(match error.kind {
                Kind::UnknownVariant(_, known) => {
                    format!("{name}: must be one of {} ({place})", known.join(", "))
                }
                kind => format!("{name}: {kind} ({place})"),
            }),
        }
    }

    fn default_of(&self, name: &str) -> Option<&Value> {
        self.known.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn finish(mut self) -> Result<Settings, SettingsFaults> {
        match self.settings.extract::<Settings>() {
            Ok(settings) => {
                settings.validate(&mut self.faults);
                if self.faults.is_empty() { Ok(settings) } else { Err(SettingsFaults(self.faults)) }
            }
            Err(error) => {
                self.faults.push(error.to_string());
                Err(SettingsFaults(self.faults))
            }
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "a string",
        Value::Bool(..) => "true or false",
        Value::Num(..) => "a number",
        Value::Empty(..) => "nothing",
        Value::Dict(..) => "a section",
        Value::Array(..) => "a list",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::DEFAULT_MB;

    const TOKEN: &str = "12345678901234567890123456789012";

    fn read(
        file: &str,
        environment: &[(&str, &str)],
        flags: &[(&str, Option<String>)],
    ) -> Result<Settings, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capstan.toml");
        std::fs::write(&path, file).unwrap();
        let environment = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Settings::read(Some(&path), environment, flags).map_err(|faults| faults.0)
    }

    const URLS: [(&str, &str); 2] = [("NATS_URL", "nats://n"), ("DATABASE_URL", "postgres://p")];

    #[test]
    fn a_flag_overrides_the_environment_which_overrides_the_file_and_the_defaults() {
        let file = "replicas = 3\n[engine]\nlease_ms = 1000\nclass_concurrency = 2\n";
        let environment =
            [&URLS[..], &[("CAPSTAN_ENGINE__LEASE_MS", "2000"), ("CAPSTAN_REPLICAS", "5")]].concat();
        let flags = [("engine.lease_ms", Some("3000".to_owned())), ("http", None)];
        let settings = read(file, &environment, &flags).unwrap();
        let engine = &settings.engine;
        assert_eq!((engine.lease_ms, settings.replicas, engine.class_concurrency), (3_000, 5, 2));
        assert_eq!(settings.http, "127.0.0.1:7070".parse().unwrap());
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let file = "replicas = \"many\"\ncolour = 1\n[limits]\nlenght = 1\n";
        let environment =
            [("CAPSTAN_LIMITS__COMMAND_BYTES", "x"), ("CAPSTAN_HTPP", "y"), ("CAPSTAN_URL", "z")];
        let faults = read(file, &environment, &[]).unwrap_err();
        let names: Vec<_> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
        let required = ["nats_url", "database_url"];
        let expected = ["colour", "limits.lenght", "replicas", "htpp", "limits.command_bytes"];
        assert_eq!(names, [&expected[..], &required].concat(), "{faults:?}");
        let environment = [("CAPSTAN_HTTP", "0.0.0.0:1"), ("CAPSTAN_ROLE", "king")];
        let faults = read("replicas = 2", &environment, &[("http", Some("here".to_owned()))]).unwrap_err();
        assert_eq!(faults[0], "role: must be one of all, api, engine, projector (CAPSTAN_ROLE)");
        let names: Vec<_> = faults.iter().filter_map(|fault| fault.split(':').next()).collect();
        assert_eq!(
            names,
            ["role", "http", "nats_url", "database_url", "replicas", "admin_token"],
            "{faults:?}"
        );
    }

    #[test]
    fn the_memory_is_set_by_each_source_and_has_a_least() {
        let memory = |file: &str, variable: Option<&str>, flag: Option<&str>| {
            let variable = variable.map(|text| ("CAPSTAN_MEMORY_MB", text));
            let environment: Vec<_> = URLS.into_iter().chain(variable).collect();
            read(file, &environment, &[("memory_mb", flag.map(str::to_owned))]).map(|read| read.memory_mb)
        };
        assert_eq!(memory("", None, None), Ok(DEFAULT_MB));
        assert_eq!(memory("memory_mb = 100", None, None), Ok(100));
        assert_eq!(memory("memory_mb = 100", Some("200"), None), Ok(200));
        assert_eq!(memory("memory_mb = 100", Some("200"), Some("64")), Ok(64));
        let refused = Err(vec!["memory_mb: must be 64 to 1000000".to_owned()]);
        assert_eq!(memory("", None, Some("63")), refused);
        assert_eq!(memory("", Some("1000001"), None), refused);
        assert!(memory("", Some("much"), None).is_err());
        assert!(memory("", None, Some("-1")).is_err());
    }

    #[test]
    fn a_missing_or_invalid_file_is_reported_beside_the_other_faults() {
        let faults = Settings::read(Some(Path::new("/nowhere.toml")), std::iter::empty(), &[]).unwrap_err();
        assert_eq!(faults.0.len(), 3, "{faults:?}");
        let faults = read("replicas = ", &[], &[]).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
    }

    #[test]
    fn a_fault_does_not_show_a_secret() {
        let faults = read("admin_token = 1234567890", &URLS, &[]).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(!faults[0].contains("12345"), "{faults:?}");
    }

    #[test]
    fn variables_of_tools_clients_and_kubernetes_are_no_settings() {
        let others = [
            ("CAPSTAN_TOOL_SEARCH", "x"),
            ("CAPSTAN_TOKEN", "x"),
            ("CAPSTAN_SERVICE_HOST", "10.0.0.1"),
            ("CAPSTAN_PORT_7070_TCP_ADDR", "10.0.0.1"),
            ("CAPSTAN_PORT", "tcp://10.0.0.1:7070"),
        ];
        read("", &[&URLS[..], &others].concat(), &[]).unwrap();
    }

    #[test]
    fn secrets_are_masked_and_a_token_of_digits_stays_a_string() {
        let environment = [
            ("NATS_URL", "nats://other"),
            ("CAPSTAN_NATS_URL", "nats://me:s3cret@n:4222"),
            ("DATABASE_URL", "postgres://me:s3cret@p/db"),
            ("CAPSTAN_ADMIN_TOKEN", TOKEN),
        ];
        let settings = read("", &environment, &[]).unwrap();
        assert_eq!(settings.admin_token, TOKEN);
        let masked = settings.masked();
        assert_eq!(masked.nats_url, "nats://me:redacted@n:4222");
        assert_eq!(masked.database_url, "postgres://me:redacted@p/db");
        assert_eq!(masked.admin_token, "[redacted]");
    }

    #[test]
    fn every_spelling_of_a_secret_in_an_address_is_masked() {
        let clear = "nats://n1:4222,n2:4222";
        assert_eq!(without_secrets(clear), clear);
        assert_eq!(without_secrets("host=p user=me"), "host=p user=me");
        for secret in [
            "nats://me:s3cret@n1:4222,nats://me:s3cret@n2:4222",
            "nats://n1:4222,nats://s3cret@n2:4222",
            "postgres://me@p/db?password=s3cret",
            "host=p user=me password=s3cret",
            "postgres://me:s3cret@p1,p2/db",
        ] {
            let masked = without_secrets(secret);
            assert!(masked.contains(MASK) && !masked.contains("s3cret"), "{secret}: {masked}");
        }
    }

    #[test]
    fn the_defaults_name_every_setting() {
        let known: Vec<_> =
            leaves(&Figment::from(Toml::string(DEFAULTS))).into_iter().map(|(name, _)| name).collect();
        let settings = read("", &URLS, &[]).unwrap();
        let shown = leaves(&Figment::from(Serialized::defaults(settings)));
        assert_eq!(shown.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), known);
    }
}
