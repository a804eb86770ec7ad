//! Listeners that come, run and go.

use super::*;
use std::cell::Cell;
use std::rc::Rc;

impl EventSet for u8 {
    fn bits(self) -> u32 {
        1 << self
    }
}

impl Handler for Box<dyn FnMut()> {
    fn placeholder() -> Self {
        Box::new(|| {})
    }
}

type Calls = Listeners<u8, Box<dyn FnMut()>>;

fn emit(listeners: &Calls, event: u8) {
    listeners.emit(event, |callback| callback());
}

fn counter(count: &Rc<Cell<u32>>) -> Box<dyn FnMut()> {
    let count = Rc::clone(count);
    Box::new(move || count.set(count.get() + 1))
}

#[test]
fn only_listeners_of_the_event_run_and_a_one_shot_runs_once() {
    let (often, once) = (Rc::default(), Rc::default());
    let listeners = Calls::default();
    listeners.add(1, Lasts::Always, counter(&often));
    listeners.add(1, Lasts::Once, counter(&once));
    emit(&listeners, 1);
    emit(&listeners, 2);
    emit(&listeners, 1);
    assert_eq!((often.get(), once.get()), (2, 1));
}

#[test]
fn a_listener_may_remove_itself_and_add_others_while_it_runs() {
    let listeners: Rc<Calls> = Rc::default();
    let added = Rc::default();
    let id = Rc::new(Cell::new(None));
    let callback = {
        let (listeners, added, id) = (Rc::clone(&listeners), Rc::clone(&added), Rc::clone(&id));
        move || {
            drop(listeners.remove(id.get().unwrap()));
            listeners.add(1, Lasts::Always, counter(&added));
        }
    };
    id.set(Some(listeners.add(1, Lasts::Always, Box::new(callback))));
    emit(&listeners, 1);
    assert_eq!(added.get(), 0, "what is added while an event runs does not see it");
    emit(&listeners, 1);
    assert_eq!(added.get(), 1);
}

/// Once those were not counted that had been added meanwhile.
#[test]
fn an_event_reaches_a_listener_that_was_added_before_another_listener_ran_once() {
    let listeners: Rc<Calls> = Rc::default();
    let (again, count) = (Rc::clone(&listeners), Rc::default());
    let added = counter(&count);
    let mut added = Some(added);
    listeners.add(
        1,
        Lasts::Always,
        Box::new(move || _ = again.add(2, Lasts::Always, added.take().unwrap())),
    );
    listeners.add(1, Lasts::Once, Box::new(|| {}));
    emit(&listeners, 1);
    assert!(listeners.has(2));
    emit(&listeners, 2);
    assert_eq!(count.get(), 1);
}

/// Once the inner one closed up the list, and the outer one left listeners out.
#[test]
fn each_listener_runs_once_even_if_another_event_is_emitted_meanwhile() {
    let listeners: Rc<Calls> = Rc::default();
    let calls: Rc<RefCell<Vec<&str>>> = Rc::default();
    let log = |name: &'static str| {
        let calls = Rc::clone(&calls);
        move || calls.borrow_mut().push(name)
    };
    let removed = listeners.add(1, Lasts::Always, Box::new(log("removed")));
    listeners.add(2, Lasts::Once, Box::new(log("inner, once")));
    listeners.add(2, Lasts::Always, Box::new(log("inner")));
    let (again, first) = (Rc::clone(&listeners), log("first, once"));
    listeners.add(1, Lasts::Once, {
        let late = log("late");
        Box::new(move || {
            first();
            assert!(again.is_running(1) && !again.is_running(2));
            drop(again.remove(removed));
            emit(&again, 2);
            again.add(1, Lasts::Once, Box::new(late.clone()));
            emit(&again, 1);
        })
    });
    listeners.add(1, Lasts::Always, Box::new(log("second")));
    listeners.add(1, Lasts::Always, Box::new(log("third")));
    emit(&listeners, 1);
    let inner = ["inner, once", "inner", "second", "third", "late"];
    let wanted = [&["removed", "first, once"], &inner[..], &["second", "third"]].concat();
    assert_eq!(calls.take(), wanted);
    assert!(!listeners.is_running(1));
    emit(&listeners, 1);
    assert_eq!(calls.take(), ["second", "third"]);
}

#[test]
fn after_a_panic_all_listeners_remain() {
    let listeners = Calls::default();
    let (before, after) = (Rc::default(), Rc::default());
    let panics = Cell::new(true);
    listeners.add(1, Lasts::Always, counter(&before));
    listeners.add(
        1,
        Lasts::Always,
        Box::new(move || assert!(!panics.replace(false), "on purpose")),
    );
    listeners.add(1, Lasts::Always, counter(&after));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| emit(&listeners, 1)));
    assert!(result.is_err());
    emit(&listeners, 1);
    assert_eq!((before.get(), after.get()), (2, 1));
}

#[test]
fn a_replaced_listener_is_removed_and_other_one_shot_listeners_stay() {
    let listeners = Calls::default();
    let counts: [Rc<Cell<u32>>; 2] = std::array::from_fn(|_| Rc::default());
    listeners.add(1, Lasts::Once, counter(&counts[0]));
    listeners.add(1, Lasts::OnceOrReplaced, counter(&counts[1]));
    assert!(listeners.remove_replaced(1).is_some());
    assert!(listeners.remove_replaced(1).is_none());
    emit(&listeners, 1);
    assert_eq!(counts.map(|count| count.get()), [1, 0]);
}

#[test]
fn an_id_does_not_match_listeners_of_another_object() {
    let (first, second) = (Calls::default(), Calls::default());
    let count = Rc::default();
    let of_first = first.add(1, Lasts::Always, counter(&Rc::default()));
    let of_second = second.add(1, Lasts::Always, counter(&count));
    assert_ne!(of_first, of_second);
    assert!(second.remove(of_first).is_none());
    emit(&second, 1);
    assert_eq!(count.get(), 1);
}
