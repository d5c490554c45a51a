//! The macros that turn a table of fields into a message.
//!
//! Fields stand in the order of their numbers, in which Java writes them: our bytes equal Java's.

/// What is known of a field, for checks against the definition of record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// The field's number.
    pub number: u32,
    /// Its name here.
    pub name: &'static str,
    /// Its type as written in the table.
    pub kind: &'static str,
    /// `required`, `optional` or `repeated`.
    pub label: &'static str,
}

/// Declares messages: `number name: label type,` a line.
macro_rules! messages {
    ($( $(#[$meta:meta])* $name:ident { $($number:literal $field:ident: $label:ident $type:ty,)* } )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        #[allow(missing_docs)]
        pub struct $name { $(pub $field: message!(@field $label $type),)* }

        impl $name {
            /// Its fields, for checks against the definition of record.
            pub const FIELDS: &'static [$crate::wire::FieldInfo] = &[$($crate::wire::FieldInfo {
                number: $number, name: stringify!($field), kind: stringify!($type), label: stringify!($label),
            },)*];

            /// Decodes the message from the whole of `buf`.
            ///
            /// # Errors
            /// Cut, malformed, or without a required field.
            pub fn decode(buf: &::bytes::Bytes) -> Result<Self, $crate::wire::DecodeError> {
                let mut message = Self::default();
                $crate::wire::codec::merge(&mut message, buf, 0, buf.len(), 0)?;
                Ok(message)
            }

            /// Appends the encoded message to `out`.
            pub fn encode(&self, out: &mut ::bytes::BytesMut) {
                $crate::wire::codec::Fields::write(self, out);
            }

            /// Bytes that [`Self::encode`] appends.
            #[must_use]
            pub fn encoded_len(&self) -> usize {
                $crate::wire::codec::Fields::len(self)
            }
        }

        impl $crate::wire::codec::Fields for $name {
            fn required(&self) -> u64 {
                0 $(| message!(@required $label $number))*
            }
            #[allow(unused_variables)]
            fn set(
                &mut self,
                number: u32,
                value: $crate::wire::codec::Value<'_>,
            ) -> Result<(), $crate::wire::DecodeError> {
                match number {
                    $($number => message!(@set $label self.$field, value),)*
                    _ => {}
                }
                Ok(())
            }
            #[allow(unused_variables)]
            fn write(&self, out: &mut ::bytes::BytesMut) {
                $(message!(@write $label self.$field, $number, out);)*
            }
            fn len(&self) -> usize {
                0 $(+ message!(@len $label self.$field, $number))*
            }
        }

        impl $crate::wire::codec::Type for $name {
            const WIRE: u8 = 2;
            fn from_value(value: $crate::wire::codec::Value<'_>) -> Result<Self, $crate::wire::DecodeError> {
                let mut message = Self::default();
                $crate::wire::codec::merge_value(&mut message, value)?;
                Ok(message)
            }
            fn value_len(&self) -> usize {
                let len = $crate::wire::codec::Fields::len(self);
                $crate::wire::codec::varint_len(len as u64) + len
            }
            fn write_value(&self, out: &mut ::bytes::BytesMut) {
                $crate::wire::codec::put_varint(out, $crate::wire::codec::Fields::len(self) as u64);
                $crate::wire::codec::Fields::write(self, out);
            }
        }
    )*};
}

macro_rules! message {
    (@field required $type:ty) => { $type };
    (@field optional $type:ty) => { Option<$type> };
    (@field repeated $type:ty) => { Vec<$type> };
    (@required required $number:literal) => { 1u64 << $number };
    (@required $label:ident $number:literal) => { 0 };
    (@set required $place:expr, $value:ident) => { $place = $crate::wire::codec::Type::from_value($value)? };
    (@set optional $place:expr, $value:ident) => { $place = Some($crate::wire::codec::Type::from_value($value)?) };
    (@set repeated $place:expr, $value:ident) => { $crate::wire::codec::extend(&mut $place, $value)? };
    (@write required $place:expr, $number:literal, $out:ident) => {
        $crate::wire::codec::Type::write_field(&$place, $number, $out)
    };
    (@write $label:ident $place:expr, $number:literal, $out:ident) => {
        for value in $place.iter() { $crate::wire::codec::Type::write_field(value, $number, $out) }
    };
    (@len required $place:expr, $number:literal) => { $crate::wire::codec::Type::field_len(&$place, $number) };
    (@len $label:ident $place:expr, $number:literal) => {
        $place.iter().map(|v| $crate::wire::codec::Type::field_len(v, $number)).sum::<usize>()
    };
}

/// Declares enumerations. Values that are not known here are kept as they are.
macro_rules! enums {
    ($( $(#[$meta:meta])* $name:ident { $($number:literal $value:ident,)* } )*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub i32);

        #[allow(missing_docs)]
        impl $name {
            $(pub const $value: Self = Self($number);)*

            /// All values that are known here.
            pub const KNOWN: &'static [(i32, &'static str)] = &[$(($number, stringify!($value)),)*];

            /// The value's name, if it is known here.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                Self::KNOWN.iter().find(|(number, _)| *number == self.0).map(|(_, name)| *name)
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}({})", stringify!($name), self.0),
                }
            }
        }

        impl $crate::wire::codec::Type for $name {
            const WIRE: u8 = 0;
            fn from_value(value: $crate::wire::codec::Value<'_>) -> Result<Self, $crate::wire::DecodeError> {
                value.varint().map(|v| Self(v as i32))
            }
            fn value_len(&self) -> usize {
                $crate::wire::codec::Type::value_len(&self.0)
            }
            fn write_value(&self, out: &mut ::bytes::BytesMut) {
                $crate::wire::codec::Type::write_value(&self.0, out);
            }
        }
    )*};
}

pub(crate) use {enums, message, messages};
