//! Memory of flights that ended, for those that begin.
//!
//! A flight begins on its caller's thread and ends on the leader's; an allocator is slow at giving
//! back what another thread took. What is kept holds nothing of the flight that it was.

use super::flight::{Flight, State};
use crate::ids::StoreTime;
use crate::sync::Mutex;

/// As many are kept.
const MAX_SPARES: usize = 1024;

/// Flights in the memory they were given, which is what is to be kept.
#[allow(clippy::vec_box, reason = "it is the boxes that are kept")]
pub(crate) type Boxes = Vec<Box<Flight>>;

#[derive(Debug, Default)]
pub(crate) struct Spares {
    boxes: Mutex<Boxes>,
}

impl Spares {
    pub(crate) fn box_up(&self, flight: Flight) -> Box<Flight> {
        let spare = self.boxes.lock().pop();
        match spare {
            Some(mut spare) => {
                *spare = flight;
                spare
            }
            None => Box::new(flight),
        }
    }

    /// Keeps what it may of these, and empties the list.
    pub(crate) fn keep(&self, ended: &mut Boxes) {
        for flight in ended.iter_mut() {
            flight.state = State::Abandoned { at: StoreTime(0) };
            flight.checkpoint = None;
            flight.caller = None;
            flight.owner = None;
            flight.ended = None;
        }
        let mut boxes = self.boxes.lock();
        let room = MAX_SPARES.saturating_sub(boxes.len()).min(ended.len());
        boxes.extend(ended.drain(..room));
        drop(boxes);
        ended.clear();
    }
}
