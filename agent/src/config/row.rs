//! What a row of the table in `settings.rs` holds, and the macro that turns the table into code.

use std::collections::BTreeMap;

/// A row of the table: how a setting is spelled, where it comes from, what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The key in files, in lower case; `outer.inner` for a key of an object. The name of the field unless given.
    pub(crate) key: &'static str,
    /// The flag as the usage shows it, without its dash: `bind=0.0.0.0:7946`.
    pub(crate) flag: Option<&'static str>,
    /// Whether a variable of the environment is read.
    pub(crate) variable: Variable,
    /// Which numbers and durations are refused.
    pub(crate) bound: Bound,
    /// The help, line by line as the usage shows it.
    pub(crate) help: &'static [&'static str],
}

/// What is read from the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// The variable of the setting's name. A text that looks like a flag is refused.
    Plain,
    /// The same; handlers do not inherit the variable.
    Secret,
    /// The same; and the text may begin with anything.
    Token,
    /// Nothing.
    Ignored,
}

/// Which numbers a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Any, also none.
    Any,
    /// Those above zero.
    Positive,
}

impl Setting {
    /// The flag without its dash and its value.
    pub(crate) fn flag_name(&self) -> Option<&'static str> {
        self.flag.map(flag_name)
    }

    /// The name of the variable; `None` when none is read.
    pub(crate) fn variable_name(&self) -> Option<String> {
        (self.variable != Variable::Ignored).then(|| format!("{VARIABLE_PREFIX}{}", self.key.to_uppercase()))
    }
}

/// The name of a flag that is shown with its value.
pub(super) fn flag_name(shown: &'static str) -> &'static str {
    shown.split(['=', ' ']).next().unwrap_or(shown)
}

/// What the names of variables begin with.
pub(super) const VARIABLE_PREFIX: &str = "SERF_";

/// The types of settings. The type decides how a value is read and merged.
pub(crate) mod kinds {
    use super::BTreeMap;

    /// A later source wins unless it is empty.
    pub(crate) type Text = String;
    /// True once any source says true.
    pub(crate) type Bool = bool;
    /// True unless a source says false; the last that says anything wins. Its flag takes no value and means false.
    pub(crate) type Switch = Option<bool>;
    /// A later source wins unless it is zero.
    pub(crate) type Int = i64;
    /// A duration in Go's syntax, here in nanoseconds. A later source wins unless it is zero.
    pub(crate) type Nanos = i64;
    /// Sources are appended.
    pub(crate) type List = Vec<String>;
    /// A later source wins tag by tag.
    pub(crate) type Tags = BTreeMap<String, String>;
}

/// The value of a setting in [`Settings`](super::Settings), to read and write it by its type. One variant for each of [`kinds`].
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

/// Turns the table into the struct with a field for each row, its defaults, `SETTINGS` with the rows, and `Settings::values`, which
/// pairs the rows with the fields.
///
/// A row is written like a field: help, attributes, name, type, default. The default is empty, zero or false unless given.
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
            /// What holds unless a source says otherwise (`DefaultConfig` in `config.go`).
            pub(crate) fn defaults() -> Self {
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
