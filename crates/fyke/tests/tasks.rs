//! Tasks and their timers: `spawn_local`, `block_on`, `LoopHandle::spawn`, `sleep`, `timeout`, `interval`.

mod support;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use fyke::task::{self, spawn_local};
use fyke::{ErrorCode, LoopHandle, timer};
use support::Log;

const MS: Duration = Duration::from_millis(1);

/// Counts how often it was dropped.
struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

on_every_driver! {
    fn a_task_is_polled_after_the_callback_that_made_it(net) {
        let log = Log::new();
        let in_task = log.clone();
        let in_tick = log.clone();
        net.run(|| {
            timer::set_immediate({
                let log = log.clone();
                move || {
                    spawn_local(async move { in_task.add("task") }).unwrap();
                    timer::next_tick(move || in_tick.add("tick")).unwrap();
                    log.add("callback returns");
                }
            }).unwrap();
        });
        assert_eq!(log.take(), ["callback returns", "tick", "task"]);
    }

    fn awaiting_a_handle_returns_the_output(net) {
        let output = net.block_on(async {
            let doubled = spawn_local(async { 2 * spawn_local(async { 21 }).unwrap().await.unwrap() });
            doubled.unwrap().await.unwrap()
        });
        assert_eq!(output, 42);
    }

    fn a_task_keeps_the_loop_alive_unless_it_is_unreferred(net) {
        let ended = Rc::new(Cell::new(0));
        let count = Rc::clone(&ended);
        net.run(|| {
            spawn_local(async move {
                timer::sleep(3 * MS).unwrap().await;
                count.set(count.get() + 1);
            }).unwrap();
            spawn_local(pending::<()>()).unwrap().unref_loop();
        });
        assert_eq!(ended.get(), 1);
    }

    fn a_panic_ends_its_task_only(net) {
        let error = net.block_on(async {
            let other = spawn_local(async {
                timer::sleep(MS).unwrap().await;
                7
            });
            let panics = spawn_local(async { panic!("on purpose") }).unwrap();
            let error = panics.await.unwrap_err();
            assert_eq!(other.unwrap().await.unwrap(), 7);
            error
        });
        assert!(error.is_panic() && !error.is_aborted());
        assert_eq!(error.to_string(), "the task panicked: on purpose");
        assert_eq!(fyke::Error::from(error).code(), ErrorCode::ERR_TASK_PANICKED);
    }

    fn an_aborted_task_is_dropped_without_being_polled_again(net) {
        let drops = Rc::new(Cell::new(0));
        let dropped = Dropped(Rc::clone(&drops));
        let error = net.block_on(async {
            let mut task = spawn_local(async move {
                let _dropped = dropped;
                pending::<()>().await;
            }).unwrap();
            task::yield_now().await;
            assert!(!task.is_finished());
            task.abort();
            task::yield_now().await;
            task.await.unwrap_err()
        });
        assert!(error.is_aborted());
        assert_eq!(drops.get(), 1);
    }

    fn dropping_a_handle_lets_its_task_go_on(net) {
        let ended = Rc::new(Cell::new(false));
        let end = Rc::clone(&ended);
        net.run(|| {
            drop(spawn_local(async move {
                task::yield_now().await;
                end.set(true);
            }).unwrap());
        });
        assert!(ended.get());
    }

    // Waking a task of an ending loop dropped it at once, also while its waker held a lock: a request of HTTP/2 and
    // its connection have one in common, and the loop did not end.
    fn a_task_that_another_one_wakes_while_the_loop_ends_is_dropped_after_it(net) {
        struct Locks(Arc<Mutex<Option<Waker>>>);
        impl Drop for Locks {
            fn drop(&mut self) {
                let mut other = self.0.try_lock().expect("the other task is dropped meanwhile");
                other.take().into_iter().for_each(Waker::wake);
            }
        }
        let event_loop = net.event_loop();
        event_loop.enter(|| {
            let shared = Arc::new(Mutex::new(None));
            for _ in 0..2 {
                let (locks, shared) = (Locks(Arc::clone(&shared)), Arc::clone(&shared));
                spawn_local(async move {
                    let _locks = locks;
                    poll_fn(|cx| {
                        *shared.lock().unwrap() = Some(cx.waker().clone());
                        Poll::<()>::Pending
                    }).await;
                }).unwrap();
            }
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
    }

    fn tasks_that_wait_are_dropped_with_the_loop(net) {
        let drops = Rc::new(Cell::new(0));
        let event_loop = net.event_loop();
        let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
        event_loop.enter(|| {
            let [first, second, third] = std::array::from_fn(|_| Dropped(Rc::clone(&drops)));
            spawn_local(async move { let _first = first; pending::<()>().await }).unwrap();
            spawn_local(async move {
                let _second = second;
                timer::sleep(Duration::from_secs(3600)).unwrap().await;
            }).unwrap();
            let keeps = Rc::clone(&kept);
            spawn_local(async move {
                let _third = third;
                poll_fn(|cx| {
                    *keeps.borrow_mut() = Some(cx.waker().clone());
                    Poll::<()>::Pending
                }).await;
            }).unwrap();
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(drops.get(), 0);
        drop(event_loop);
        assert_eq!(drops.get(), 3);
        // A waker that outlives its loop does nothing.
        kept.take().unwrap().wake();
    }

    // Tasks are numbered, and the number of an ended one is assigned again.
    fn the_handle_of_an_ended_task_does_not_change_a_later_one(net) {
        let ended = Rc::new(Cell::new(false));
        let seen = Rc::clone(&ended);
        net.run(|| {
            let earlier = spawn_local(async {}).unwrap();
            timer::set_timeout(MS, move || {
                assert!(earlier.is_finished());
                let waker = Rc::new(Cell::new(None::<Waker>));
                let later = Rc::clone(&waker);
                drop(spawn_local(poll_fn(move |cx| match later.replace(Some(cx.waker().clone())) {
                    None => Poll::Pending,
                    Some(_) => {
                        seen.set(true);
                        Poll::Ready(())
                    }
                })).unwrap());
                earlier.unref_loop();
                // Only the later task keeps the loop alive.
                timer::set_timeout(MS, move || {
                    let waker = waker.replace(Some(Waker::noop().clone()));
                    waker.unwrap().wake();
                }).unwrap().unref_loop();
            }).unwrap();
        });
        assert!(ended.get());
    }

    fn a_task_that_wakes_itself_for_ever_leaves_time_for_the_rest(net) {
        let turns = net.block_on(async {
            let spins = spawn_local(async { loop { task::yield_now().await; } }).unwrap();
            spins.unref_loop();
            let busy = Rc::new(Cell::new(0_u32));
            let count = Rc::clone(&busy);
            let interval = timer::set_interval(MS, move || count.set(count.get() + 1)).unwrap();
            while busy.get() < 3 {
                timer::sleep(MS).unwrap().await;
            }
            interval.cancel();
            busy.get()
        });
        assert!(turns >= 3);
    }

    fn another_thread_wakes_a_task(net) {
        type Shared = Arc<Mutex<(bool, Option<Waker>)>>;
        let shared = Shared::default();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || loop {
            let waker = theirs.lock().unwrap().1.take();
            if let Some(waker) = waker {
                theirs.lock().unwrap().0 = true;
                return waker.wake();
            }
            std::thread::yield_now();
        });
        // Without a time limit: on the simulated network, where the clock moves only while the loop waits.
        net.event_loop().block_on(async {
            spawn_local(poll_fn(move |cx| {
                let mut shared = shared.lock().unwrap();
                if shared.0 {
                    return Poll::Ready(());
                }
                shared.1 = Some(cx.waker().clone());
                Poll::Pending
            })).unwrap().await.unwrap();
        }).unwrap();
        thread.join().unwrap();
    }

    fn other_threads_make_tasks_and_get_their_output(net) {
        let event_loop = net.event_loop();
        let handle = event_loop.handle();
        let alive = handle.keep_alive();
        let thread = std::thread::spawn(move || {
            let place = handle.spawn(|| async {
                // A socket belongs to the loop's thread.
                let socket = fyke::Socket::new();
                task::yield_now().await;
                (socket.is_connecting(), std::thread::current().id())
            });
            let panics = handle.spawn(|| async { panic!("on purpose") });
            let result = (place.unwrap().join().unwrap(), panics.unwrap().join());
            drop(alive);
            result
        });
        event_loop.run().unwrap();
        let ((connecting, id), panicked) = thread.join().unwrap();
        assert!(!connecting && id == std::thread::current().id());
        assert!(panicked.unwrap_err().is_panic());
    }

    fn a_remote_handle_of_a_loop_that_is_gone_has_an_error(net) {
        let event_loop = net.event_loop();
        let handle = event_loop.handle();
        let never = handle.spawn(pending::<()>).unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        let unborn = handle.spawn(pending::<()>).unwrap();
        drop(event_loop);
        assert!(never.join().unwrap_err().is_aborted());
        assert!(unborn.join().unwrap_err().is_aborted());
        let error = handle.spawn(pending::<()>).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ERR_EVENT_LOOP_CLOSED);
    }

    fn sleeps_end_in_the_order_of_their_deadlines(net) {
        let log = Log::new();
        net.block_on(async {
            let sleeps = [(3, "late"), (1, "early"), (2, "middle")].map(|(time, name)| {
                let log = log.clone();
                spawn_local(async move {
                    timer::sleep(time * MS).unwrap().await;
                    log.add(name);
                }).unwrap()
            });
            for sleep in sleeps {
                sleep.await.unwrap();
            }
        });
        assert_eq!(log.take(), ["early", "middle", "late"]);
    }

    fn a_dropped_sleep_keeps_nothing_alive(net) {
        net.block_on(async {
            let mut sleep = timer::sleep(Duration::from_secs(3600)).unwrap();
            poll_fn(|cx| {
                assert!(std::pin::Pin::new(&mut sleep).poll(cx).is_pending());
                Poll::Ready(())
            }).await;
        });
        net.run(|| {
            spawn_local(async {
                let hour = timer::sleep(Duration::from_secs(3600)).unwrap();
                let limited = timer::timeout(MS, hour).await;
                assert_eq!(limited.unwrap_err().code(), ErrorCode::ETIMEDOUT);
            }).unwrap();
        });
    }

    fn a_timeout_returns_the_output_of_a_future_that_is_in_time(net) {
        let output = net.block_on(async {
            timer::timeout(Duration::from_secs(3600), async { timer::sleep(MS).unwrap().await; 5 }).await
        });
        assert_eq!(output.unwrap(), 5);
    }

    fn an_interval_ticks_again_and_again(net) {
        net.block_on(async {
            let mut interval = timer::interval(MS).unwrap();
            for _ in 0..5 {
                interval.tick().await;
            }
            // A dropped future takes no tick.
            let _ = timer::timeout(Duration::ZERO, interval.tick()).await;
            interval.tick().await;
        });
    }

    fn callbacks_and_tasks_share_a_value(net) {
        let sum = Rc::new(Cell::new(0));
        let (callback, in_task) = (Rc::clone(&sum), Rc::clone(&sum));
        net.run(|| {
            timer::set_timeout(MS, move || callback.set(callback.get() + 1)).unwrap();
            spawn_local(async move {
                timer::sleep(MS).unwrap().await;
                in_task.set(in_task.get() + 1);
            }).unwrap();
        });
        assert_eq!(sum.get(), 2);
    }

    fn a_late_wake_of_a_future_that_was_blocked_on_does_not_keep_the_loop_alive(net) {
        let event_loop = net.event_loop();
        let waker = event_loop.block_on(poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Ready(cx.waker().clone())
        })).unwrap();
        let ends = || (0..3).any(|_| !event_loop.turn(Some(Duration::ZERO)).unwrap());
        assert!(ends());
        waker.wake_by_ref();
        assert!(ends());
        event_loop.enter(|| waker.wake_by_ref());
        assert!(ends());
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert!(ends());
    }

    fn the_future_of_block_on_is_polled_only_when_it_was_woken(net) {
        let polls = Rc::new(Cell::new(0));
        let counted = Rc::clone(&polls);
        let waker = Rc::new(RefCell::new(None));
        let stored = Rc::clone(&waker);
        net.event_loop().block_on(async {
            timer::set_timeout(3 * MS, move || {
                stored.borrow_mut().take().into_iter().for_each(Waker::wake);
            }).unwrap();
            timer::set_timeout(MS, || {}).unwrap();
            poll_fn(|cx| {
                counted.set(counted.get() + 1);
                waker.replace(Some(cx.waker().clone()));
                if counted.get() == 1 { Poll::Pending } else { Poll::Ready(()) }
            }).await;
        }).unwrap();
        assert_eq!(polls.get(), 2);
    }

    fn a_panic_in_block_on_leaves_the_loop_usable(net) {
        let event_loop = net.event_loop();
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            event_loop.block_on(async { panic!("on purpose") })
        }));
        assert!(panicked.is_err());
        assert_eq!(event_loop.block_on(async { task::yield_now().await; 1 }).unwrap(), 1);
    }
}

#[test]
fn outside_of_a_loop_there_is_an_error_and_no_panic() {
    assert_eq!(spawn_local(async {}).unwrap_err().code(), ErrorCode::ERR_NO_EVENT_LOOP);
    assert_eq!(timer::sleep(MS).unwrap_err().code(), ErrorCode::ERR_NO_EVENT_LOOP);
    assert_eq!(timer::interval(MS).unwrap_err().code(), ErrorCode::ERR_NO_EVENT_LOOP);
    assert!(LoopHandle::current().is_err());
    let result = fyke::block_on(async { 1 });
    assert_eq!(result.unwrap(), 1);
}

#[test]
fn block_on_inside_a_callback_of_the_same_loop_is_an_error() {
    let event_loop = Rc::new(fyke::EventLoop::new().unwrap());
    let result = Rc::new(Cell::new(None));
    let (inner, set) = (Rc::clone(&event_loop), Rc::clone(&result));
    event_loop.enter(|| {
        timer::set_immediate(move || set.set(Some(inner.block_on(pending::<()>())))).unwrap();
    });
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    let error = result.take().unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ERR_EVENT_LOOP_BUSY);
}
