//! The MAC of a record and the hash of its line, side by side.
//!
//! Both read the same bytes, and neither waits for the other. A processor that has instructions for SHA-256 waits for the
//! result of each of them; where two computations take turns block by block, one goes on while the other waits. That, and
//! nothing else, is why HMAC (RFC 2104) is put together here from the compression function of `sha2`: the `hmac` crate is
//! what the tests compare it with, for every length.

use core::fmt;

use sha2::block_api::compress256;
use zeroize::Zeroizing;

use crate::Hash;

/// Bytes that one step takes.
const BLOCK_BYTES: usize = 64;

/// Bytes of the length at the end of the last block.
const LENGTH_BYTES: usize = 8;

/// What HMAC mixes into the key for its inner and its outer hash.
const INNER: u8 = 0x36;
const OUTER: u8 = 0x5c;

type Block = [u8; BLOCK_BYTES];
type State = [u32; 8];

/// The state before the first block: FIPS 180-4, section 5.3.3.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// HMAC-SHA256 after its key and the beginning of a message. Wiped when dropped.
#[derive(Clone)]
pub(crate) struct Begun {
    inner: Zeroizing<State>,
    outer: Zeroizing<State>,
    /// What of the beginning fills no whole block.
    rest: Vec<u8>,
    /// Bytes that the inner hash has seen, `rest` included.
    seen: u64,
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Begun([REDACTED])")
    }
}

impl Begun {
    /// A key of 32 bytes, and what every message begins with.
    pub(crate) fn new(key: &[u8; 32], beginning: &[u8]) -> Self {
        let keyed = |pad: u8| {
            let mut block = Zeroizing::new([pad; BLOCK_BYTES]);
            block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
            let mut state = Zeroizing::new(INITIAL);
            compress256(&mut state, core::slice::from_ref(&*block));
            state
        };
        let (mut inner, outer) = (keyed(INNER), keyed(OUTER));
        let (blocks, rest) = beginning.as_chunks::<BLOCK_BYTES>();
        compress256(&mut inner, blocks);
        let seen = (BLOCK_BYTES + beginning.len()) as u64;
        Self { inner, outer, rest: rest.to_vec(), seen }
    }

    /// The MAC of the message that goes on with these bytes.
    pub(crate) fn mac(&self, covered: &[u8]) -> Hash {
        let mut state = *self.inner;
        for block in Message::new(&self.rest, covered, self.seen).blocks() {
            compress256(&mut state, core::slice::from_ref(block));
        }
        self.outer(&state)
    }

    /// The MAC of the message that goes on with `covered`, and the SHA-256 of `line`.
    pub(crate) fn mac_and_hash(&self, covered: &[u8], line: &[u8]) -> (Hash, Hash) {
        let (mut mac, mut hash) = (*self.inner, INITIAL);
        let (to_mac, to_hash) = (Message::new(&self.rest, covered, self.seen), Message::new(&[], line, 0));
        let (mut to_mac, mut to_hash) = (to_mac.blocks(), to_hash.blocks());
        loop {
            let (first, second) = (to_mac.next(), to_hash.next());
            if let Some(block) = first {
                compress256(&mut mac, core::slice::from_ref(block));
            }
            if let Some(block) = second {
                compress256(&mut hash, core::slice::from_ref(block));
            }
            if first.is_none() && second.is_none() {
                return (self.outer(&mac), bytes(&hash));
            }
        }
    }

    fn outer(&self, inner: &State) -> Hash {
        let mut state = *self.outer;
        for block in Message::new(&[], &bytes(inner), BLOCK_BYTES as u64).blocks() {
            compress256(&mut state, core::slice::from_ref(block));
        }
        bytes(&state)
    }
}

/// A message cut into blocks, with the padding of FIPS 180-4, section 5.1.1. What lies in whole blocks is not copied.
struct Message<'a> {
    head: Option<Block>,
    middle: &'a [Block],
    tail: [Block; 2],
    /// How many blocks of the tail there are.
    tails: usize,
}

impl<'a> Message<'a> {
    /// What is left of the beginning (less than a block) and the rest of the message. `seen` bytes are before the latter.
    fn new(beginning: &[u8], rest: &'a [u8], seen: u64) -> Self {
        let bits = seen.wrapping_add(rest.len() as u64).wrapping_mul(8);
        if beginning.is_empty() {
            let (middle, last) = rest.as_chunks::<BLOCK_BYTES>();
            let (tail, tails) = padded(&[], last, bits);
            return Self { head: None, middle, tail, tails };
        }
        let Some((first, rest)) = rest.split_at_checked(BLOCK_BYTES.saturating_sub(beginning.len())) else {
            let (tail, tails) = padded(beginning, rest, bits);
            return Self { head: None, middle: &[], tail, tails };
        };
        let mut head = [0; BLOCK_BYTES];
        put(&mut head, &[beginning, first]);
        let (middle, last) = rest.as_chunks::<BLOCK_BYTES>();
        let (tail, tails) = padded(&[], last, bits);
        Self { head: Some(head), middle, tail, tails }
    }

    fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.head.iter().chain(self.middle).chain(self.tail.iter().take(self.tails))
    }
}

/// The last one or two blocks: less than a block of message, a one bit, zeros, and how many bits the whole message has.
fn padded(first: &[u8], second: &[u8], bits: u64) -> ([Block; 2], usize) {
    let mut tail = [[0; BLOCK_BYTES]; 2];
    let length = first.len() + second.len();
    let tails = if length + 1 + LENGTH_BYTES <= BLOCK_BYTES { 1 } else { 2 };
    put(tail.as_flattened_mut(), &[first, second, &[0x80]]);
    if let Some((_, place)) = tail.get_mut(tails - 1).and_then(|last| last.split_last_chunk_mut()) {
        *place = bits.to_be_bytes();
    }
    (tail, tails)
}

/// Copies the parts one behind the other, as far as there is room.
fn put(mut to: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let Some((here, rest)) = to.split_at_mut_checked(part.len()) else { return };
        here.copy_from_slice(part);
        to = rest;
    }
}

fn bytes(state: &State) -> Hash {
    let mut hash = [0; 32];
    for (to, word) in hash.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
    hash
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::Sha256;

    use super::*;

    fn expected(key: &[u8; 32], parts: [&[u8]; 2]) -> Hash {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Every remainder of both lengths, and so every form that a message's blocks can have.
    #[test]
    fn mac_and_hash_are_those_of_the_crates_for_every_length() {
        let text: Vec<u8> = (0_u32..1024).map(|at| u8::try_from(at * 151 % 251).unwrap()).collect();
        let key = core::array::from_fn(|at| u8::try_from(at * 7 + 1).unwrap());
        for beginning in 0..=2 * BLOCK_BYTES {
            let begun = Begun::new(&key, &text[..beginning]);
            for covered in 0..=4 * BLOCK_BYTES {
                let (covered, line) = (&text[500..500 + covered], &text[500..500 + covered + beginning]);
                let mac = expected(&key, [&text[..beginning], covered]);
                assert_eq!(begun.mac(covered), mac, "{beginning} {}", covered.len());
                assert_eq!(begun.mac_and_hash(covered, line), (mac, crate::sha256(line)), "{beginning} {}", line.len());
            }
        }
    }

    /// The lengths of the two need not go together.
    #[test]
    fn one_of_the_two_may_be_much_longer() {
        let (key, long) = ([9; 32], [7; 1000]);
        let begun = Begun::new(&key, b"x");
        for (covered, line) in [(&long[..0], &long[..]), (&long[..], &long[..0]), (&long[..], &long[..1])] {
            let mac = expected(&key, [b"x", covered]);
            assert_eq!(begun.mac_and_hash(covered, line), (mac, crate::sha256(line)));
        }
    }
}
