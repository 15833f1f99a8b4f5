//! What a fuzzer asks of a cursor's file: any bytes are a place or an error, and a place that is
//! written is the place that is read.

#![allow(clippy::expect_used, reason = "a property that does not hold is a panic")]

use super::cursor::Cursor;
use crate::audit::EventId;
use crate::error::ErrorKind;
use crate::simulation::SimDisk;

/// A cursor's file.
pub(crate) fn cursor(data: &[u8]) {
    let disk = SimDisk::new();
    disk.put_file("a.cursor", data.to_vec()).expect("a file");
    let open = || Cursor::on(disk.clone(), "a", "a sink");
    match open() {
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::InvalidInput));
        }
        Ok(mut cursor) => {
            let mut place = cursor.place().expect("there is a file");
            place.next = EventId::new(place.next.boot, place.next.sequence ^ 1);
            cursor.advance(place).expect("written");
            assert_eq!(open().expect("a cursor").place(), Some(place));
        }
    }
}
