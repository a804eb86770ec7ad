//! The transitions of a connection: one file for each kind of event. Only they push effects.

mod again;
mod attempt;
mod close;
mod connect;
mod deliver;
mod destroy;
mod end;
mod establish;
mod expire;
mod fail;
mod flush;
mod owed;
mod receive;
mod resolve;
mod write;

pub use flush::Flushed;
pub use receive::Received;
pub use write::Written;

use crate::connection::{Connection, Context, Effect, Effects, Then, Tick, Value, When};
use crate::reading::Readable;
use crate::writing::NoSpares;

impl<C> Connection<C> {
    /// Runs a deferred step.
    pub fn tick(&mut self, tick: Tick, cx: &Context<'_>, fx: &mut Effects<C>) {
        match tick {
            Tick::Connect => self.begin_connecting(cx, fx),
            Tick::Again => self.again_due(cx, fx),
            Tick::PathAgain => self.path_again_due(fx),
            Tick::Resume => self.run_resume(cx, fx),
            Tick::Readable => self.run_readable(fx),
            Tick::Receive => self.receive_on_demand(fx),
            Tick::Data => fx.then(Then::EmitTaken),
            Tick::End => {
                fx.then(Then::EmitTaken);
                fx.then(Then::ReportEnd);
            }
            Tick::EndItself => {
                if self.writable() {
                    self.end(&mut None, None, &mut NoSpares, cx, fx);
                }
            }
            Tick::FinishAlone => self.finish_alone(fx),
            Tick::ShutDown => self.was_shut_down(fx),
            Tick::ShutdownDue(round) => self.shutdown_due(round, fx),
            Tick::Finish => self.finish(fx),
            Tick::Written(number) => {
                fx.then(Then::ReportOwed);
                fx.then(Then::Written(number));
            }
            Tick::WrittenLate(number, round) => {
                // If the connection was destroyed in the meantime, this was reported then.
                if self.round == round && self.is_live() {
                    fx.then(Then::ReportOwed);
                    fx.then(Then::Written(number));
                }
            }
            Tick::Value => self.report_value(cx, fx),
            Tick::FailQueue => {
                fx.then(Then::ReportOwed);
                fx.then(Then::FailQueue);
            }
            Tick::Owed => fx.then(Then::ReportOwed),
            Tick::Shutdown => self.report_shutdown(fx),
            Tick::EndBehindBytes(round) => fx.defer(When::NextTurn, Tick::EndOfStream(round)),
            Tick::EndOfStream(round) => self.late_end_of_stream(round, cx, fx),
            Tick::Close => self.close(None, fx),
            Tick::CloseBefore(had_error) => {
                fx.push(Effect::CloseBefore { had_error });
            }
        }
    }

    /// Continues after effects that may have changed everything.
    pub fn then(&mut self, then: Then<C>, cx: &Context<'_>, fx: &mut Effects<C>) {
        match then {
            Then::Connect => self.begin_connecting(cx, fx),
            Then::LookupHeard(round) => self.report_next_address(round, cx, fx),
            Then::NextAttempt => self.next_attempt(cx, fx),
            Then::AttemptHeard(attempt) => self.attempt_heard(attempt, fx),
            Then::AttemptRefused(failure) => self.attempt_refused(*failure, cx.policy, fx),
            Then::AttemptOver(failure) => self.attempt_over(*failure, cx, fx),
            Then::Won(attempt) => self.won(attempt, cx, fx),
            Then::FailureHeard(failure) => self.failure_heard(*failure, cx, fx),
            Then::ConnectFailed(round, error) => self.connect_has_failed(round, error, cx, fx),
            Then::AgainHeard(again) => self.again_heard(*again, cx, fx),
            Then::Written(number) => self.written(number, fx),
            Then::WrittenReported => self.written_reported(cx, fx),
            Then::CallBack(number, result) => self.call_back(number, result, fx),
            Then::CallNext { count, number, result } => self.call_next(count, number, result, fx),
            Then::CallBackDone => self.call_back_done(fx),
            Then::CallEnds(result) => self.call_ends(&result, fx),
            Then::FailFlight(error) => self.fail_flight(error, fx),
            Then::FailQueue => self.fail_queue(cx, fx),
            Then::FailOneByOne { accepted, round, error } => {
                self.fail_next(accepted, round, error, fx);
            }
            Then::FailAfterWrites(error) => self.fail_after_writes(error, cx, fx),
            Then::EndUncork(callback, refused) => self.end_uncork(callback, refused, cx, fx),
            Then::EndBegin(callback, refused) => self.end_begin(callback, refused, cx, fx),
            Then::EndCallback(callback, failed) => self.end_callback(callback, failed, cx, fx),
            Then::FinishIfDone => self.finish_if_done(cx, fx),
            Then::PrefinishHeard => fx.defer(When::Now, Tick::Finish),
            Then::Finish => self.finish(fx),
            Then::FinishHeard => self.finish_heard(cx, fx),
            Then::DestroySoon => self.destroy_soon_ended(cx, fx),
            Then::Cork => self.write.cork(cx.policy.cork_holds_earlier_writes),
            Then::EmitTaken => self.emit_taken(cx, fx),
            Then::Deliver => {
                fx.then(Then::EmitTaken);
                fx.then(Then::DeliverNext);
            }
            Then::DeliverNext => self.deliver_next(cx, fx),
            Then::Delivered => self.receive_more(cx, fx),
            Then::SinkResumed => self.sink_resumed(fx),
            Then::StartReceiving => self.start_receiving(fx),
            Then::ReadableHeard => self.read.readable_done(),
            Then::ReportEnd => self.report_end(fx),
            Then::EndHeard => self.end_heard(cx, fx),
            Then::Dismantle { error, reset, refused } => {
                self.dismantle(error, (reset, refused), cx, fx);
            }
            Then::Fail(error) => self.fail(error, cx, fx),
            Then::CloseReported(cancelled) => self.close_reported(cancelled, cx, fx),
            Then::CloseFlightReported(cancelled) => self.close_flight_reported(cancelled, cx, fx),
            Then::CloseQueueReported => self.close_queue_reported(cx.policy, fx),
            Then::CloseHeard(parked) => self.fail_parked_after_close(*parked, fx),
            Then::SetBehind(bytes, round) => self.set_behind(bytes, round),
            Then::ConnectHeard { written_before } => self.connect_heard(written_before, cx, fx),
            Then::Begin { written_before } => self.begin(written_before, cx.policy, fx),
            Then::ReadyDue => self.ready_due(cx, fx),
            Then::ReadyHeard => self.ready_heard(cx, fx),
            Then::ReportOwed => self.report_owed(fx),
            Then::ReportCancelled { had_error, error, any } => {
                self.report_cancelled(had_error, error, any, cx, fx);
            }
        }
    }

    fn report_value(&mut self, cx: &Context<'_>, fx: &mut Effects<C>) {
        let value = self.cold.as_mut().and_then(|cold| cold.values.pop_front());
        match value {
            Some(Value::Reply(call)) => fx.push(Effect::Call(call)),
            Some(Value::WriteFailed(error)) => self.write_failed(error, fx),
            Some(Value::Error(error)) => fx.push(Effect::Error(error)),
            Some(Value::Lookup(round, result)) => self.resolved(round, result, cx, fx),
            Some(Value::Again(again)) => self.attempt_again(again, fx),
            None => {}
        }
    }

    pub(crate) fn follow(&mut self, next: Readable, fx: &mut Effects<C>) {
        match next {
            Readable::Nothing => {}
            Readable::Emit => fx.defer(When::Tick, Tick::Readable),
            Readable::Receive => fx.defer(When::Tick, Tick::Receive),
        }
    }
}
