//! One structure at a time.

use super::super::batch::{BatchFields, BatchHeader, frames, seal_batch};
use super::super::frame::{Frame, seal_frame};
use super::super::manifest::Manifest;
use super::super::memory::MemoryFile;
use super::super::segment_header::SegmentHeader;
use super::super::{BATCH_HEADER, Body, FOOTER_TRAILER, Footer, GRANULE, pad};
use super::seal::{put_at, seal_footer, seal_manifest, seal_segment_header};
use super::{BASE, FIRST};
use crate::fuzzing::Input;
use crate::ids::{SegmentId, StoreTime, Token};

/// A frame: with the right checksum it says what its fields say, and encodes to the same bytes.
pub(crate) fn frame(data: &[u8]) {
    frame_of(data);
    // The same bytes as a kind and its fields, with the length that they have.
    if let Some((kind, fields)) = data.split_first() {
        let [len_0, len_1, len_2, ..] = (fields.len() + 8).to_le_bytes();
        frame_of(&[&[0, 0, 0, 0, *kind, len_0, len_1, len_2], fields].concat());
    }
}

fn frame_of(bytes: &[u8]) {
    let decoded = Frame::decode_unchecked(bytes, BASE);
    let mut sealed = bytes.to_vec();
    if seal_frame(&mut sealed, FIRST) {
        assert_eq!(Frame::decode(&sealed, FIRST, BASE), decoded);
    } else {
        assert!(decoded.is_err());
    }
    if let Ok((frame, len)) = decoded {
        assert!(len <= bytes.len());
        assert_encodes_to(&frame, &bytes[..len]);
    }
}

/// The same bytes but for the checksum, and zeros after them.
fn assert_encodes_to(frame: &Frame<'_>, bytes: &[u8]) {
    let mut encoded = Vec::new();
    assert_eq!(frame.encode(BASE, &mut encoded), Ok(bytes.len()));
    assert_eq!(encoded[4..bytes.len()], bytes[4..]);
    assert_eq!(encoded.len(), pad(bytes.len()));
    assert!(encoded[bytes.len()..].iter().all(|byte| *byte == 0));
    if let Frame::Completion(done) = frame
        && matches!(done.response, Body::Packed { .. })
        && let Some(plain) = done.response.unpack()
    {
        assert_eq!(plain.len(), done.response.plain_len());
    }
}

/// A batch of frames: its header says what was sealed, its frames are there, and no flipped bit is
/// taken for good.
pub(crate) fn batch(data: &[u8]) {
    let _ = BatchHeader::decode(data, FIRST);
    let mut input = Input::new(data);
    let fields = BatchFields {
        sequence: Token(input.number()),
        synced: Token(input.number()),
        store_time: StoreTime(input.number()),
        previous: input.u32(),
        flags: u32::from(input.byte()),
    };
    let bit = usize::from(input.u16());
    let place = FIRST.plus(usize::from(input.byte()) * GRANULE);
    let mut bytes = vec![0; BATCH_HEADER];
    while !input.is_empty() {
        let (kind, body) = (input.byte(), input.string());
        let [len_0, len_1, ..] = (body.len() + 8).to_le_bytes();
        bytes.extend([0, 0, 0, 0, kind, len_0, len_1, 0]);
        bytes.extend(body);
        bytes.resize(pad(bytes.len()), 0);
    }
    let sealed = seal_batch(&mut bytes, place, fields).expect("whole frames");
    let header = BatchHeader::decode(&bytes, place).expect("a good header");
    assert_eq!((header.checksum, header.nonce), (sealed, place.nonce));
    let said = (header.sequence, header.synced, header.store_time, header.previous, header.flags);
    let BatchFields { sequence, synced, store_time, previous, flags } = fields;
    assert_eq!(said, (sequence, synced, store_time, previous, flags));
    let payload = header.payload(&bytes, place).expect("a good payload");
    assert_eq!(header.end(place.offset), Some(place.offset + bytes.len() as u32));
    let mut count = 0;
    for frame in frames(payload, place.plus(BATCH_HEADER), BASE) {
        match frame {
            Ok((offset, len, frame)) => {
                let at = (offset - place.offset) as usize;
                assert_encodes_to(&frame, &bytes[at..at + len]);
                count += 1;
            }
            Err(_) => count = header.frames,
        }
    }
    assert_eq!(count, header.frames);
    let bit = bit % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    let header = BatchHeader::decode(&bytes, place).ok();
    assert!(header.and_then(|header| header.payload(&bytes, place)).is_none(), "bit {bit}");
}

/// A segment's header.
pub(crate) fn segment_header(data: &[u8]) {
    let _ = SegmentHeader::decode(data);
    let mut bytes = [b"ONCESEG1\0\0\0\0", data].concat();
    seal_segment_header(&mut bytes);
    if let Ok(header) = SegmentHeader::decode(&bytes) {
        assert_eq!(SegmentHeader::decode(&header.encode()), Ok(header));
        let used = bytes.len().min(68);
        assert_eq!(header.encode()[12..used], bytes[12..used]);
    }
}

/// A manifest: what is accepted reads back equal from both copies, so that it can be written.
pub(crate) fn manifest(data: &[u8]) {
    let _ = Manifest::decode(data);
    let mut input = Input::new(data);
    // Another byte in the second copy, if it is different at all.
    let (at, by) = (usize::from(input.u16()), input.byte());
    let fields = input.rest();
    let mut copy = b"ONCEKEY1\0\0\0\0\x01\0\0\0".to_vec();
    copy.extend((fields.len() as u32 + 20).to_le_bytes());
    copy.extend(fields);
    let mut bytes = copy.repeat(2);
    put_at(&mut bytes, copy.len() + 12 + at, &[by]);
    seal_manifest(&mut bytes);
    if let Ok((manifest, _)) = Manifest::decode(&bytes) {
        assert_eq!(Manifest::decode(&manifest.encode()), Ok((manifest, None)));
    }
}

/// A footer: what is accepted has entries within its data, in order, and encodes to what says the
/// same.
pub(crate) fn footer(data: &[u8]) {
    const SIZE: u32 = 16 << 10;
    let mut input = Input::new(data);
    let len = u32::from(input.u16());
    let whole = input.byte();
    let mut trailer = vec![0; FOOTER_TRAILER];
    put_at(&mut trailer, 0, b"OKF1");
    put_at(&mut trailer, 8, &FIRST.nonce.0.to_le_bytes());
    put_at(&mut trailer, 16, &7_u64.to_le_bytes());
    let head = input.bytes(44);
    put_at(&mut trailer, 24, head);
    let entries = input.rest();
    let offset = (SIZE - FOOTER_TRAILER as u32).saturating_sub(entries.len() as u32);
    if whole & 1 == 0 {
        put_at(&mut trailer, 24, &(entries.len() as u32 / 16).to_le_bytes());
        put_at(&mut trailer, 32, &offset.to_le_bytes());
    }
    let mut bytes = vec![0; SIZE as usize];
    put_at(&mut bytes, offset as usize, entries);
    put_at(&mut bytes, SIZE as usize - FOOTER_TRAILER, &trailer);
    seal_footer(&mut bytes, FIRST.nonce);
    if whole & 2 != 0 {
        bytes.truncate(len as usize);
    }
    let file = MemoryFile::new(bytes);
    let Ok(footer) = Footer::read(&file, SIZE, FIRST.nonce, SegmentId(7)) else { return };
    assert!(footer.entries.is_sorted_by(|one, next| one.offset + 16 <= next.offset));
    assert!(footer.entries.iter().all(|entry| entry.offset < footer.data_end));
    let (at, encoded) = footer.encode(SIZE).expect("it was there");
    let mut bytes = vec![0; at as usize];
    bytes.extend(encoded);
    let again = Footer::read(&MemoryFile::new(bytes), SIZE, FIRST.nonce, SegmentId(7));
    assert_eq!(again.expect("a footer"), footer);
}
