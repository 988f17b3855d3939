//! Encryption layer: AES-GCM around a packet or a stream record (`encryptPayload` and `decryptPayload` in memberlist's
//! security.go). Version byte, nonce of 12 bytes, ciphertext, tag of 16 bytes. Version 0 pads the plaintext to whole
//! blocks (PKCS #7); version 1 does not.
//!
//! Key schedules are computed once, when a key is installed. AES instructions are used if the CPU has them.
//!
//! Without the feature `encryption` no [`Cipher`] exists, and so every keyring is empty.

use alloc::vec::Vec;
use core::fmt;

use self::aes::Aes;
use super::keyring::Keyring;
use crate::types::Key;

/// Overhead of version 1, in bytes.
pub(super) const OVERHEAD_BYTES: usize = VERSION_BYTES + NONCE_BYTES + TAG_BYTES;
/// Size of the header before the ciphertext.
pub(super) const HEADER_BYTES: usize = VERSION_BYTES + NONCE_BYTES;

/// Must never repeat for one key.
pub(super) type Nonce = [u8; NONCE_BYTES];
/// Authentication tag.
pub(super) type Tag = [u8; TAG_BYTES];

/// A key with its expanded schedule.
pub(super) struct Cipher {
    key: Key,
    aes: Aes,
}

impl Cipher {
    /// Expands a key; `None` without the feature `encryption`.
    pub(super) fn new(key: Key) -> Option<Self> {
        let aes = Aes::new(key.as_bytes())?;
        Some(Self { key, aes })
    }

    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    /// Encrypts `text` in place.
    pub(super) fn encrypt(&self, nonce: &Nonce, associated: &[u8], text: &mut [u8]) -> Tag {
        self.aes.encrypt(nonce, associated, text)
    }

    /// Decrypts into `text`, which has the length of `ciphertext`. False, without output, if the tag does not match
    /// this key.
    fn decrypt(&self, nonce: &Nonce, associated: &[u8], ciphertext: &[u8], tag: &Tag, text: &mut [u8]) -> bool {
        self.aes.decrypt(nonce, associated, ciphertext, tag, text)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

#[cfg(feature = "encryption")]
mod aes {
    use aes_gcm::aead::consts::U12;
    use aes_gcm::aead::inout::InOutBuf;
    use aes_gcm::aead::{AeadInOut, KeyInit};
    use aes_gcm::aes::Aes192;
    use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};

    use super::{Nonce, Tag};

    /// An expanded key.
    pub(super) enum Aes {
        Of128(Aes128Gcm),
        Of192(AesGcm<Aes192, U12>),
        Of256(Aes256Gcm),
    }

    impl Aes {
        pub(super) fn new(bytes: &[u8]) -> Option<Self> {
            Some(if let Ok(aes) = Aes128Gcm::new_from_slice(bytes) {
                Self::Of128(aes)
            } else if let Ok(aes) = AesGcm::new_from_slice(bytes) {
                Self::Of192(aes)
            } else {
                Self::Of256(Aes256Gcm::new_from_slice(bytes).expect("a key has 16, 24 or 32 bytes"))
            })
        }

        pub(super) fn encrypt(&self, nonce: &Nonce, associated: &[u8], text: &mut [u8]) -> Tag {
            let (nonce, text) = (nonce.into(), InOutBuf::from(text));
            let tag = match self {
                Self::Of128(aes) => aes.encrypt_inout_detached(nonce, associated, text),
                Self::Of192(aes) => aes.encrypt_inout_detached(nonce, associated, text),
                Self::Of256(aes) => aes.encrypt_inout_detached(nonce, associated, text),
            };
            tag.expect("AES-GCM takes 64 GiB, and no message has that much").into()
        }

        pub(super) fn decrypt(
            &self,
            nonce: &Nonce,
            associated: &[u8],
            ciphertext: &[u8],
            tag: &Tag,
            text: &mut [u8],
        ) -> bool {
            let Ok(inout) = InOutBuf::new(ciphertext, text) else { return false };
            let (nonce, tag) = (nonce.into(), tag.into());
            let result = match self {
                Self::Of128(aes) => aes.decrypt_inout_detached(nonce, associated, inout, tag),
                Self::Of192(aes) => aes.decrypt_inout_detached(nonce, associated, inout, tag),
                Self::Of256(aes) => aes.decrypt_inout_detached(nonce, associated, inout, tag),
            };
            result.is_ok()
        }
    }
}

#[cfg(not(feature = "encryption"))]
mod aes {
    use super::{Nonce, Tag};

    /// No value exists.
    pub(super) enum Aes {}

    impl Aes {
        pub(super) const fn new(_bytes: &[u8]) -> Option<Self> {
            None
        }

        pub(super) const fn encrypt(&self, _nonce: &Nonce, _associated: &[u8], _text: &mut [u8]) -> Tag {
            match *self {}
        }

        pub(super) const fn decrypt(
            &self,
            _nonce: &Nonce,
            _associated: &[u8],
            _ciphertext: &[u8],
            _tag: &Tag,
            _text: &mut [u8],
        ) -> bool {
            match *self {}
        }
    }
}

/// The header of version 1, the only one that we send. It is supported since memberlist's protocol 2, which all of
/// Serf's versions imply.
pub(super) fn header(nonce: &Nonce) -> [u8; HEADER_BYTES] {
    let mut header = [UNPADDED; HEADER_BYTES];
    header[VERSION_BYTES..].copy_from_slice(nonce);
    header
}

/// Decrypts `sealed` with the first matching key of `ring` into `text`; false if none matches.
///
/// Before authentication only the version and the length are checked.
pub(super) fn open(ring: &Keyring, associated: &[u8], sealed: &[u8], text: &mut Vec<u8>) -> bool {
    let Some((&[version, ref nonce @ ..], rest)) = sealed.split_first_chunk::<HEADER_BYTES>() else { return false };
    let Some((ciphertext, tag)) = rest.split_last_chunk::<TAG_BYTES>() else { return false };
    if version > UNPADDED || (version == PADDED && ciphertext.len() < BLOCK_BYTES) {
        return false;
    }
    text.clear();
    text.resize(ciphertext.len(), 0);
    // Each key that does not match costs one pass over the ciphertext, hence `KEYS_MAX`.
    if !ring.ciphers().any(|cipher| cipher.decrypt(nonce, associated, ciphertext, tag, text)) {
        return false;
    }
    version == UNPADDED || unpad(text)
}

/// Removes PKCS #7 padding; false if it is invalid. HashiCorp's nodes do not check, so a peer with the key can crash
/// them.
fn unpad(text: &mut Vec<u8>) -> bool {
    let Some(&padding) = text.last() else { return false };
    let Some(len) = text.len().checked_sub(usize::from(padding)) else { return false };
    let fits = (1..=BLOCK_BYTES).contains(&usize::from(padding)) && text[len..].iter().all(|byte| *byte == padding);
    text.truncate(len);
    fits
}

const VERSION_BYTES: usize = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const BLOCK_BYTES: usize = 16;

/// Version 0, of nodes with memberlist's protocol 1.
const PADDED: u8 = 0;
/// Version 1.
const UNPADDED: u8 = 1;

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const NONCE: Nonce = [0xa5; NONCE_BYTES];

    fn ring(bytes: &[u8]) -> Keyring {
        Keyring::new([Key::new(bytes).unwrap()]).unwrap()
    }

    /// `text` with arbitrary padding bytes, sealed in version 0.
    fn padded(ring: &Keyring, text: &[u8], padding: &[u8]) -> Vec<u8> {
        let mut sealed = header(&NONCE).to_vec();
        sealed[0] = PADDED;
        sealed.extend_from_slice(text);
        sealed.extend_from_slice(padding);
        let cipher = ring.primary().unwrap();
        let tag = cipher.encrypt(&NONCE, b"dc1", &mut sealed[HEADER_BYTES..]);
        sealed.extend_from_slice(&tag);
        sealed
    }

    fn opened(ring: &Keyring, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut text = vec![];
        open(ring, b"dc1", sealed, &mut text).then_some(text)
    }

    #[test]
    fn keys_of_every_length_open_what_they_sealed() {
        for len in [16, 24, 32] {
            let ring = ring(&[7; 32][..len]);
            let mut sealed = header(&NONCE).to_vec();
            sealed.extend_from_slice(b"hello");
            let tag = ring.primary().unwrap().encrypt(&NONCE, b"dc1", &mut sealed[HEADER_BYTES..]);
            sealed.extend_from_slice(&tag);
            assert_eq!(opened(&ring, &sealed).as_deref(), Some(&b"hello"[..]));
            sealed[0] = 2;
            assert_eq!(opened(&ring, &sealed), None, "there is no version 2");
        }
    }

    #[test]
    fn a_padding_is_taken_off_whatever_its_length() {
        let ring = ring(&[7; 16]);
        for len in 0..40_usize {
            let padding = BLOCK_BYTES - len % BLOCK_BYTES;
            let text = vec![b'x'; len];
            let sealed = padded(&ring, &text, &vec![u8::try_from(padding).unwrap(); padding]);
            assert_eq!(opened(&ring, &sealed), Some(text));
        }
    }

    #[test]
    fn a_padding_that_lies_is_refused() {
        let ring = ring(&[7; 16]);
        for padding in [&[0; 16][..], &[17; 16], &[255; 16], &[1, 2, 2, 3], &[16; 15]] {
            assert_eq!(opened(&ring, &padded(&ring, b"hello, world", padding)), None, "{padding:?}");
        }
        assert_eq!(opened(&ring, &padded(&ring, b"", &[4; 4])), None, "less than a block");
    }
}
