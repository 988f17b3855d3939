//! The types of a row of the table in `settings.rs`, and the macro that expands the table.

use std::collections::BTreeMap;

/// A row of the table: the names of a setting, its sources and its help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The key in files, in lower case; `outer.inner` for a key of an object. Default: the name of the field.
    pub(crate) key: &'static str,
    /// The flag as the usage prints it, without its dash: `bind=0.0.0.0:7946`.
    pub(crate) flag: Option<&'static str>,
    /// Whether and how the environment variable is read.
    pub(crate) variable: Variable,
    /// Which numbers and durations are refused.
    pub(crate) bound: Bound,
    /// The help, line by line as the usage prints it.
    pub(crate) help: &'static [&'static str],
}

/// How the environment variable of a setting is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The variable is read. A value that looks like a flag is refused.
    Plain,
    /// The same; handlers do not inherit the variable.
    Secret,
    /// The same; and the value may begin with any character.
    Token,
    /// The variable is not read.
    Ignored,
}

/// The valid numbers of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// All numbers.
    Any,
    /// Numbers above zero.
    Positive,
    /// Numbers from zero on.
    Natural,
    /// Numbers from zero, which stands for the value of the profile. The protocol's own bounds are checked with the
    /// options that result.
    Profile,
}

impl Setting {
    /// The flag without its dash and its value.
    pub(crate) fn flag_name(&self) -> Option<&'static str> {
        self.flag.map(flag_name)
    }

    /// The name of the variable; `None` when it is not read.
    pub(crate) fn variable_name(&self) -> Option<String> {
        let name = || format!("{VARIABLE_PREFIX}{}", self.key.to_uppercase().replace('.', "_"));
        (self.variable != Variable::Ignored).then(name)
    }

    /// Whether the variable is `SERF_` and this name, which is in lower case.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        let letter = |byte| if byte == b'.' { b'_' } else { byte };
        self.key.len() == name.len() && self.key.bytes().map(letter).eq(name.bytes())
    }
}

/// The name of a flag that is given with its value.
pub(super) fn flag_name(shown: &'static str) -> &'static str {
    shown.split(['=', ' ']).next().unwrap_or(shown)
}

/// Prefix of the names of variables.
pub(super) const VARIABLE_PREFIX: &str = "SERF_";

/// The types of settings. The type decides how a value is parsed and merged.
pub(crate) mod kinds {
    use super::BTreeMap;

    /// A later source wins unless it is empty.
    pub(crate) type Text = String;
    /// True once any source sets true.
    pub(crate) type Bool = bool;
    /// True unless a source sets false; the last source that sets it wins. Its flag takes no value and means false.
    pub(crate) type Switch = Option<bool>;
    /// A later source wins unless it is zero.
    pub(crate) type Int = i64;
    /// A duration in Go's syntax, here in nanoseconds. A later source wins unless it is zero.
    pub(crate) type Nanos = i64;
    /// The lists of all sources are appended.
    pub(crate) type List = Vec<String>;
    /// A later source wins tag by tag.
    pub(crate) type Tags = BTreeMap<String, String>;
}

/// A reference to the value of a setting in [`Settings`](super::Settings), to read and write it by its type. One
/// variant for each of [`kinds`].
#[derive(Debug)]
pub(crate) enum Value<'s> {
    Text(&'s mut kinds::Text),
    Bool(&'s mut kinds::Bool),
    Switch(&'s mut kinds::Switch),
    Int(&'s mut kinds::Int),
    Nanos(&'s mut kinds::Nanos),
    List(&'s mut kinds::List),
    Tags(&'s mut kinds::Tags),
}

impl Value<'_> {
    /// Whether a source with this value sets the setting: it replaces or extends the value of earlier sources.
    pub(super) fn is_set(&self, setting: &Setting) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Bool(on) => **on,
            Self::Switch(on) => on.is_some(),
            // As in HashiCorp's agent, a negative version means unset.
            Self::Int(number) if setting.key == "protocol" => **number > 0,
            Self::Int(number) | Self::Nanos(number) => **number != 0,
            Self::List(list) => !list.is_empty(),
            Self::Tags(tags) => !tags.is_empty(),
        }
    }
}

/// Expands the table to the struct with a field for each row, its defaults, `SETTINGS` with the rows, and
/// `Settings::values`, which pairs the rows with the fields.
///
/// A row has the syntax of a field: help, attributes, name, type, default. Without a default the value is empty, zero
/// or false.
macro_rules! settings {
    (@first $first:expr $(, $rest:expr)*) => { $first };
    (
        $(#[$meta:meta])*
        pub struct Settings {$(
            $(#[doc = $help:literal])+
            $(#[key = $key:literal])?
            $(#[flag = $flag:literal])?
            $(#[variable($variable:ident)])?
            $(#[bound($bound:ident)])?
            $field:ident: $kind:ident $(= $default:expr)?,
        )+}
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Settings {$(
            $(#[doc = $help])+
            pub $field: $crate::config::row::kinds::$kind,
        )+}

        /// The rows, in the table's order.
        pub(crate) const SETTINGS: &[Setting] = &[$(Setting {
            key: settings!(@first $($key,)? stringify!($field)),
            flag: settings!(@first $(Some($flag),)? None),
            variable: settings!(@first $(Variable::$variable,)? Variable::Plain),
            bound: settings!(@first $(Bound::$bound,)? Bound::Any),
            help: &[$($help),+],
        }),+];

        impl Settings {
            /// The default settings (`DefaultConfig` in `config.go`).
            pub fn defaults() -> Self {
                Self {$($field: settings!(@first $($default.into(),)? Default::default()),)+}
            }

            /// Every row with its value.
            pub(crate) fn values(&mut self) -> impl Iterator<Item = (&'static Setting, Value<'_>)> {
                SETTINGS.iter().zip([$(Value::$kind(&mut self.$field)),+])
            }

            /// The value of the setting with this key.
            pub(crate) fn value(&mut self, key: &str) -> Option<(&'static Setting, Value<'_>)> {
                self.values().find(|(setting, _)| setting.key == key)
            }
        }
    };
}
