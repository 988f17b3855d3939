//! Declaration of messages, from which both codecs are derived.

use crate::msgpack::{Full, Reader, Sink, write};

/// The body of a message in HashiCorp's codec: a msgpack map. Implemented by [`message!`].
pub(in crate::wire) trait Body<'a>: Sized {
    /// Number of fields in the map. Empty optional fields are left out.
    fn fields(&self) -> usize;

    /// Encodes the fields, sorted by key.
    fn put_fields(&self, out: &mut impl Sink) -> Result<(), Full>;

    /// Encodes the map.
    #[inline]
    fn put(&self, out: &mut impl Sink) -> Result<(), Full> {
        write::map(out, self.fields())?;
        self.put_fields(out)
    }

    /// Decodes a map, or an array in the order of the declaration.
    fn take(r: &mut Reader<'a>) -> Option<Self>;
}

/// Declares a message: a struct with the key and the encoding of each field in HashiCorp's codec.
///
/// The fields are in the order of Go's struct. Structs that arrive as an array use this order, and so does the native
/// codec (through serde's derives). Maps use the byte order of the keys, which is sorted at compile time. A field type
/// implements [`Form`](super::form::Form); fields of type `Optional` are omitted from the map if empty.
///
/// ```text
/// message! {
///     pub struct Join<'a> {
///         pub ltime: u64 = b"LTime" as Uint,
///         pub node: &'a str = b"Node" as Text,
///     }
/// }
/// ```
///
/// becomes
///
/// ```text
/// pub struct Join<'a> {
///     pub ltime: u64,
///     pub node: &'a str,
/// }
///
/// impl<'a> Body<'a> for Join<'a> {
///     fn fields(&self) -> usize {
///         2                                              // without optional ones that are empty
///     }
///
///     fn put_fields(&self, out: &mut impl Sink) -> Result<(), Full> {
///         for field in [Field::ltime, Field::node] {     // sorted by key at compile time
///             match field {
///                 Field::ltime => {
///                     out.put(b"\xa5LTime")?;
///                     Uint::put(out, self.ltime)?;
///                 }
///                 Field::node => {
///                     out.put(b"\xa4Node")?;
///                     Text::put(out, self.node)?;
///                 }
///             }
///         }
///         Ok(())
///     }
///
///     fn take(r: &mut Reader<'a>) -> Option<Self> {
///         let mut read = Self { ltime: 0, node: "" };
///         let mut fields = r.fields(&[b"LTime", b"Node"])?;
///         while let Some(key) = fields.next(r)? {
///             match key {
///                 b"LTime" => read.ltime = Uint::take(r)?,
///                 b"Node" => read.node = Text::take(r)?,
///                 _ => r.skip()?,
///             }
///         }
///         Some(read)
///     }
/// }
/// ```
macro_rules! message {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Name:ident $(<$life:lifetime>)? {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $Type:ty = $key:literal as $Form:ty,)*
        }
    ) => {
        $(#[$meta])*
        $vis struct $Name $(<$life>)? {
            $($(#[$field_meta])* $field_vis $field: $Type,)*
        }

        const _: () = {
            use $crate::msgpack::{Full, Reader, Sink};
            use $crate::wire::hashicorp::form::Form;
            use $crate::wire::hashicorp::message::{Body, key_head, sorted};

            #[derive(Clone, Copy)]
            #[expect(non_camel_case_types, reason = "named as the fields")]
            enum Field {
                $($field,)*
            }

            const FIELDS: [Field; [$($key.len()),*].len()] = sorted([$((&*$key, Field::$field)),*]);

            impl<'a> $Name $(<$life>)? {
                #[inline(always)]
                fn take_field(&mut self, field: Field, r: &mut Reader<'a>) -> Option<()> {
                    match field {
                        $(Field::$field => self.$field = <$Form as Form<'a, $Type>>::take(r)?,)*
                    }
                    Some(())
                }

                #[inline(always)]
                fn put_field(&self, field: Field, out: &mut impl Sink) -> Result<(), Full> {
                    match field {
                        $(Field::$field => {
                            if <$Form as Form<'a, $Type>>::is_left_out(self.$field) {
                                return Ok(());
                            }
                            out.put(const { &key_head::<{ $key.len() + 1 }>($key) })?;
                            <$Form as Form<'a, $Type>>::put(out, self.$field)
                        })*
                    }
                }
            }

            impl<'a> Body<'a> for $Name $(<$life>)? {
                #[inline]
                fn fields(&self) -> usize {
                    let left_out = 0 $(+ usize::from(<$Form as Form<'a, $Type>>::is_left_out(self.$field)))*;
                    FIELDS.len() - left_out
                }

                #[inline]
                fn put_fields(&self, out: &mut impl Sink) -> Result<(), Full> {
                    // One call per place in the map, not a loop: the field of a place is then known at compile time.
                    $(self.put_field(const { FIELDS[Field::$field as usize] }, out)?;)*
                    Ok(())
                }

                #[inline]
                fn take(r: &mut Reader<'a>) -> Option<Self> {
                    const HEADS: [&[u8]; FIELDS.len()] =
                        sorted([$((&*$key, &key_head::<{ $key.len() + 1 }>($key) as &[u8])),*]);
                    let mut read = Self { $($field: <$Form as Form<'a, $Type>>::missing(),)* };
                    let mut fields = r.fields(&[$($key),*])?;
                    // Encoders sort the keys of a map, so each is compared once, with the only one that it can be. The loop
                    // reads what is in another order, unknown, or an array.
                    $(if fields.next_is(r, const { HEADS[Field::$field as usize] }) {
                        read.take_field(const { FIELDS[Field::$field as usize] }, r)?;
                    })*
                    while let Some(key) = fields.next(r)? {
                        match key {
                            $($key => read.$field = <$Form as Form<'a, $Type>>::take(r)?,)*
                            _ => r.skip()?,
                        }
                    }
                    Some(read)
                }
            }
        };
    };
}
pub(in crate::wire) use message;

/// A key with its one-byte length prefix.
pub(in crate::wire) const fn key_head<const N: usize>(key: &[u8]) -> [u8; N] {
    assert!(key.len() < 32 && N == key.len() + 1, "a key is a short string");
    let [.., len] = key.len().to_be_bytes();
    let mut bytes = [0xa0 | len; N];
    let (_, after) = bytes.split_at_mut(1);
    after.copy_from_slice(key);
    bytes
}

/// Sorts fields by the bytes of their keys. Selection sort, because it runs at compile time.
pub(in crate::wire) const fn sorted<F: Copy, const N: usize>(mut fields: [(&[u8], F); N]) -> [F; N] {
    let mut sorted = [fields[0].1; N];
    let mut at = 0;
    while at < N {
        let (mut least, mut other) = (at, at + 1);
        while other < N {
            if is_before(fields[other].0, fields[least].0) {
                least = other;
            }
            other += 1;
        }
        fields.swap(at, least);
        sorted[at] = fields[at].1;
        at += 1;
    }
    sorted
}

const fn is_before(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return a[at] < b[at];
        }
        at += 1;
    }
    a.len() < b.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hashicorp::form::Uint;

    #[test]
    fn fields_are_sorted_by_the_bytes_of_their_keys() {
        let keys: [&[u8]; 4] = [b"Name", b"CC", b"NameX", b"LTime"];
        let mut at = 0;
        let numbered = keys.map(|key| {
            at += 1;
            (key, at)
        });
        assert_eq!(sorted(numbered), [2, 4, 1, 3]);
    }

    message! {
        #[derive(Debug, PartialEq)]
        struct Pair {
            b: u32 = b"B" as Uint,
            a: u32 = b"A" as Uint,
        }
    }

    #[test]
    fn a_map_is_read_whatever_the_order_of_its_keys() {
        let read = |bytes: &[u8]| {
            let mut r = Reader::new(bytes);
            let pair = Pair::take(&mut r)?;
            r.rest().is_empty().then_some((pair.a, pair.b))
        };
        assert_eq!(read(b"\x82\xa1A\x01\xa1B\x02"), Some((1, 2)), "sorted, as encoders write it");
        assert_eq!(read(b"\x82\xa1B\x02\xa1A\x01"), Some((1, 2)), "the other way round");
        assert_eq!(read(b"\x83\xa1A\x01\xa1C\x93\x01\x02\x03\xa1B\x02"), Some((1, 2)), "an unknown key between");
        assert_eq!(read(b"\x83\xa1A\x01\xa1B\x02\xa1A\x07"), Some((7, 2)), "the last value of a repeated key");
        assert_eq!(read(b"\x81\xa1B\x02"), Some((0, 2)), "a key is missing");
        assert_eq!(read(b"\x82\xd9\x01A\x01\xda\x00\x01B\x02"), Some((1, 2)), "keys with longer heads");
        assert_eq!(read(b"\x92\x02\x01"), Some((1, 2)), "an array in the order of the declaration");
        assert_eq!(read(b"\x81\xa1A\x01\xa1B\x02"), None, "no field is read beyond the map's length");
        for len in 0..7 {
            assert_eq!(read(&b"\x82\xa1A\x01\xa1B\x02"[..len]), None, "cut after {len} bytes");
        }
    }
}
