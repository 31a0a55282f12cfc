//! One-byte values of the standard that have names: code, value and name stand in one list each, so that none can be
//! read as another than it is written. A code outside its list has no value, and nothing is guessed for it.

/// Declares such a list: an enum with `new`, `code` and `name`.
macro_rules! named {
    ($(#[$about:meta])* $list:ident { $($(#[$doc:meta])* $value:ident = $code:literal $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)] // the standard's own names
        pub enum $list {
            $($(#[$doc])* $value = $code,)+
        }

        impl $list {
            /// The value of a code; `None` for codes the standard does not have.
            pub fn new(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$value),)+
                    _ => None,
                }
            }

            /// Its code.
            pub fn code(self) -> u8 {
                self as u8
            }

            /// Its name, e.g. for `vaktd decode`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }
        }
    };
}

pub(crate) use named;
