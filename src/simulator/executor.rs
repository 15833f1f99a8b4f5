//! An executor of tasks on one thread, which polls whom it is told to.
//!
//! A task that is woken is ready; which of the ready ones is polled next is the caller's choice, so
//! that dice can make it. Polling may be nested: in the middle of one task's poll, in a disk call,
//! others may be polled. A task is polled again only after it was woken, so one that is never woken
//! is never polled again, and shows as stuck.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use parking_lot::Mutex;

use super::dice::Dice;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The tasks of a simulated process.
#[derive(Default)]
pub(crate) struct Executor {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<usize>>,
    ready: Arc<Mutex<Vec<usize>>>,
}

struct Slot {
    state: SlotState,
    bell: Arc<Bell>,
    waker: Waker,
}

enum SlotState {
    Empty,
    Waiting(Task),
    /// Somewhere up the stack; whether it was picked meanwhile.
    Polled {
        again: bool,
    },
}

/// What a task's waker rings.
struct Bell {
    task: usize,
    rung: AtomicBool,
    ready: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::Relaxed) {
            self.ready.lock().push(self.task);
        }
    }
}

impl Executor {
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let task: Task = Box::pin(task);
        let mut slots = self.slots.borrow_mut();
        let number = self.free.borrow_mut().pop().unwrap_or(slots.len());
        if number == slots.len() {
            let (rung, ready) = (AtomicBool::new(false), self.ready.clone());
            let bell = Arc::new(Bell { task: number, rung, ready });
            let waker = Waker::from(bell.clone());
            slots.push(Slot { state: SlotState::Empty, bell, waker });
        }
        if let Some(slot) = slots.get_mut(number) {
            slot.state = SlotState::Waiting(task);
            slot.bell.wake_by_ref();
        }
    }

    /// Polls one of the tasks that are ready; false if none is.
    pub(crate) fn poll_one(&self, dice: &Dice) -> bool {
        let picked = {
            let mut ready = self.ready.lock();
            if ready.is_empty() {
                return false;
            }
            let index = dice.index(ready.len());
            ready.swap_remove(index)
        };
        let Some((mut task, waker)) = self.take(picked) else { return true };
        let over = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(picked) else { return true };
        let again = matches!(slot.state, SlotState::Polled { again: true });
        slot.state = if over { SlotState::Empty } else { SlotState::Waiting(task) };
        if over {
            self.free.borrow_mut().push(picked);
        } else if again {
            slot.bell.wake_by_ref();
        }
        true
    }

    /// Takes a task out to poll it. One that is being polled up the stack is polled again later.
    fn take(&self, number: usize) -> Option<(Task, Waker)> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(number)?;
        slot.bell.rung.store(false, Ordering::Relaxed);
        match std::mem::replace(&mut slot.state, SlotState::Polled { again: false }) {
            SlotState::Waiting(task) => Some((task, slot.waker.clone())),
            SlotState::Empty => {
                slot.state = SlotState::Empty;
                None
            }
            SlotState::Polled { .. } => {
                slot.state = SlotState::Polled { again: true };
                None
            }
        }
    }

    /// Drops one of the tasks that wait; false if none does.
    pub(crate) fn cancel_one(&self, dice: &Dice) -> bool {
        let waiting: Vec<usize> = self.waiting();
        let Some(number) = waiting.get(dice.index(waiting.len())) else { return false };
        let taken = self.take(*number);
        if let Some(slot) = self.slots.borrow_mut().get_mut(*number) {
            slot.state = SlotState::Empty;
            self.free.borrow_mut().push(*number);
        }
        drop(taken);
        true
    }

    /// Drops all tasks.
    pub(crate) fn clear(&self) {
        while self.cancel_one(&Dice::new(0)) {}
        self.ready.lock().clear();
        for slot in self.slots.borrow().iter() {
            slot.bell.rung.store(false, Ordering::Relaxed);
        }
    }

    fn waiting(&self) -> Vec<usize> {
        let slots = self.slots.borrow();
        let is_waiting = |slot: &Slot| matches!(slot.state, SlotState::Waiting(_));
        slots.iter().enumerate().filter(|(_, slot)| is_waiting(slot)).map(|(at, _)| at).collect()
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.borrow().len() - self.free.borrow().len()
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("tasks", &self.len()).finish_non_exhaustive()
    }
}
