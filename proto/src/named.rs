//! Enums whose variants have names for reports.

/// Declares an enum without data together with the array of its variants and their names, so that these cannot get out
/// of sync.
///
/// `named! { pub enum Answer { Yes = "yes", No = "no", } }` becomes
///
/// ```text
/// pub enum Answer {
///     Yes,
///     No,
/// }
///
/// impl Answer {
///     pub const ALL: [Self; 2] = [Self::Yes, Self::No];
///
///     pub const fn name(self) -> &'static str {
///         match self {
///             Self::Yes => "yes",
///             Self::No => "no",
///         }
///     }
/// }
/// ```
macro_rules! named {
    ($(#[$meta:meta])* pub enum $Name:ident { $($(#[$doc:meta])* $Variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        pub enum $Name {
            $($(#[$doc])* $Variant,)*
        }

        impl $Name {
            /// Every variant, in the order of their numbers.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$Variant),*];

            /// A short name for reports: lower case, words joined by underscores.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)*
                }
            }
        }
    };
}
pub(crate) use named;
