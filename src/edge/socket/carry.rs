//! Every call on one screen, and how each is carried out.

use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::caller::Caller;
use super::calls::{Answer, Task, Work};
use super::history;
use super::list;
use super::messages;
use super::refusals::{refused, unavailable};
use super::turns::{Change, Order};
use crate::actors::CallError;
use crate::domain::operator::AwayReason;
use crate::domain::{Audience, ChatId, Person, Status};
use crate::edge::limits::UNAVAILABLE_RETRY_MS;
use crate::machine::chat::{ChatCall, Refusal, Target};
use crate::machine::operator::OperatorCall;
use crate::protocol::answer::{ChatOpenedFrame, ChatStateFrame, DoneFrame};
use crate::protocol::error::TargetReasonFrame;
use crate::protocol::params::{
    ChatCommandFrame, ChatOpenFrame, ChatSetStateFrame, ChatTransferFrame, MessageSendFrame,
    OfferAnswerFrame, OfferShownFrame, RaiseWatermarkFrame, SetStatusFrame, TransferTarget,
};
use crate::protocol::{
    Call, ErrorFrame, ErrorKind, Lane, Method, Request, RequestId, Wire, write_error, write_result,
};

/// What becomes of a call.
pub(super) enum Taken {
    /// It is carried out, in its lane.
    Todo(Lane, Todo),
    /// It is answered at once.
    Answer(Answer),
    /// It is the connection's own.
    Own(RequestId, Call),
}

/// What a call leads to.
pub(super) enum Todo {
    /// It is carried out by itself, and ends with its answer.
    Alone(Pin<Box<dyn Future<Output = Answer> + Send>>),
    /// A message, which goes together with others into the same chat.
    Send(Arc<Caller>, Box<MessageSendFrame>),
}

/// A call that waits for its turn.
pub(super) struct CallTask {
    /// By what the client knows its answer.
    pub id: RequestId,
    /// What it leads to.
    pub todo: Todo,
    /// One of the calls that the server has under way.
    pub permit: OwnedSemaphorePermit,
}

impl Task for CallTask {
    fn goes_with(&self, behind: &Self) -> bool {
        match (&self.todo, &behind.todo) {
            (Todo::Send(by, message), Todo::Send(also_by, next)) => {
                Arc::ptr_eq(by, also_by) && message.chat == next.chat
            }
            (Todo::Alone(_), _) | (_, Todo::Alone(_)) => false,
        }
    }

    fn carry_out(together: Vec<Self>) -> Work {
        Box::pin(async move {
            let mut answers = Vec::with_capacity(together.len());
            let mut messages = Vec::with_capacity(together.len());
            let mut permits = Vec::with_capacity(together.len());
            let mut sender = None;
            for CallTask { id, todo, permit } in together {
                permits.push(permit);
                match todo {
                    Todo::Alone(work) => answers.push(work.await),
                    Todo::Send(by, message) => {
                        sender = Some(by);
                        messages.push((id, *message));
                    }
                }
            }
            if let Some(by) = sender {
                answers.extend(messages::send(&by, messages).await);
            }
            answers
        })
    }

    fn put_off(&self, wait_ms: u64) -> Answer {
        answer::<()>(&self.id, Err(ErrorFrame::later(ErrorKind::Unavailable, wait_ms)))
    }
}

/// Takes a call of an open session. The right to it has been looked up.
pub(super) fn take(caller: &Arc<Caller>, request: Request) -> Taken {
    let Request { id, call } = request;
    let (by, method, lane) = (Arc::clone(caller), call.method(), lane(caller.audience(), &call));
    macro_rules! work {
        ($answer:expr) => {{
            let work = async move {
                let work = pin!($answer);
                answer(&id, by.permitted(method, work).await)
            };
            Taken::Todo(lane, Todo::Alone(Box::pin(work)))
        }};
    }
    match call {
        Call::ChatOpen(params) => work!(open(&by, params)),
        Call::MessageSend(params) => Taken::Todo(lane, Todo::Send(by, Box::new(params))),
        Call::MessageReceived(params) | Call::MessageRead(params) => {
            work!(raise_watermark(&by, method, params))
        }
        Call::ChatEnd(params) => work!(end(&by, params)),
        Call::ChatHistory(params) => work!(history::page(&by, params)),
        Call::OperatorSetStatus(params) => work!(set_status(&by, params)),
        Call::OfferShown(params) => work!(shown(&by, params)),
        Call::OfferAccept(params) | Call::OfferDecline(params) => {
            work!(answer_offer(&by, method, params))
        }
        Call::ChatList(params) => work!(list::chats(&by, params)),
        Call::ChatTransfer(params) => work!(transfer(&by, params)),
        Call::ChatTake(params) => work!(take_chat(&by, params)),
        Call::ChatSetState(params) => work!(begin(&by, params)),
        Call::PresenceAnswer(params) => {
            let still = by.still(method.operation());
            if let (Ok(()), Some(Person::User(user)), Some(connection)) =
                (&still, by.person(), by.connection)
            {
                by.edge.router.probe_answered(user, connection, params.probe);
            }
            Taken::Answer(answer(&id, still.map(|()| DoneFrame {})))
        }
        call @ (Call::SessionOpen(_) | Call::SessionRenew(_)) => Taken::Own(id, call),
    }
}

/// The lane of a call. What a customer says is of its conversation; its readings do not wait for it.
fn lane(by: Audience, call: &Call) -> Lane {
    match (call.lane(), by) {
        (Lane::Said(_) | Lane::Session, Audience::Customer) => Lane::Conversation,
        (Lane::Session, Audience::Staff) => Lane::Now,
        (Lane::Said(chat), Audience::Staff) => Lane::Chat(chat),
        (lane, Audience::Customer | Audience::Staff) => lane,
    }
}

/// The lane of a call that changes a conversation, and by what its turn there is known.
pub(super) fn placed(by: Audience, call: &Call) -> Option<(Lane, Order)> {
    let id = call.keeps_place_by()?.clone();
    let order = Order::Keeps(Change { chat: call.lane().chat(), method: call.method(), id });
    Some((lane(by, call), order))
}

/// After how many ms a call that met an error is to be sent again; none: it is answered for good.
pub(super) fn later_ms(error: &ErrorFrame) -> Option<u64> {
    let broken = (error.kind() == ErrorKind::Internal).then_some(UNAVAILABLE_RETRY_MS);
    error.data.retry_after_ms.or(broken)
}

/// The answer of a call.
pub(super) fn answer<R: serde::Serialize>(
    id: &RequestId,
    outcome: Result<R, ErrorFrame>,
) -> Answer {
    let later_ms = outcome.as_ref().err().and_then(later_ms);
    let written = match outcome {
        Ok(result) => write_result(id, &result),
        Err(error) => write_error(Some(id), &error),
    };
    let frame = written.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer could not be written");
        write_error(Some(id), &ErrorFrame::of(ErrorKind::Internal)).unwrap_or_default()
    });
    Answer { frame, later_ms }
}

async fn open(by: &Caller, params: ChatOpenFrame) -> Result<ChatOpenedFrame, ErrorFrame> {
    let (customer, profile) = by.customer()?;
    // Other channels do not exist for a visitor.
    if params.channel.0 != customer.channel {
        return Err(ErrorFrame::of(ErrorKind::NotFound));
    }
    let router = &by.edge.router;
    let command = &params.command_id.0;
    let (chat, _) = router.open(customer, command, profile, by).await.map_err(refused)?;
    let view = router.look(chat).await.map_err(refused)?;
    Ok(ChatOpenedFrame { chat: Wire(chat), cursor: by.edge.cursor(chat, view.tail) })
}

async fn raise_watermark(
    by: &Caller,
    method: Method,
    params: RaiseWatermarkFrame,
) -> Result<DoneFrame, ErrorFrame> {
    let chat = params.chat.0;
    let author = by.author(method)?;
    let read = method == Method::MessageRead;
    match by.edge.router.raise_watermark(chat, author.person, params.up_to, read).await {
        Ok(()) => Ok(DoneFrame {}),
        Err(error) => Err(by.hide(method, chat, error).await),
    }
}

/// A change of a chat, and the state that it is in after it.
async fn change(
    by: &Caller,
    method: Method,
    chat: ChatId,
    call: ChatCall,
) -> Result<ChatStateFrame, ErrorFrame> {
    match by.edge.router.call_chat(chat, call).await {
        Ok(_) => state(by, chat).await,
        Err(error) => Err(by.hide(method, chat, error).await),
    }
}

async fn state(by: &Caller, chat: ChatId) -> Result<ChatStateFrame, ErrorFrame> {
    let view = by.edge.router.look(chat).await.map_err(refused)?;
    let state = view.state.ok_or_else(unavailable)?;
    Ok(ChatStateFrame { chat: Wire(chat), state: Wire(state) })
}

async fn end(by: &Caller, params: ChatCommandFrame) -> Result<ChatStateFrame, ErrorFrame> {
    let chat = params.chat.0;
    let author = by.author(Method::ChatEnd)?;
    let call = ChatCall::End { by: author, command: params.command_id.0 };
    change(by, Method::ChatEnd, chat, call).await
}

async fn begin(by: &Caller, params: ChatSetStateFrame) -> Result<ChatStateFrame, ErrorFrame> {
    let author = by.author(Method::ChatSetState)?;
    let call = ChatCall::Begin { by: author, command: params.command_id.0 };
    change(by, Method::ChatSetState, params.chat.0, call).await
}

async fn transfer(by: &Caller, params: ChatTransferFrame) -> Result<ChatStateFrame, ErrorFrame> {
    let chat = params.chat.0;
    let author = by.author(Method::ChatTransfer)?;
    let to = match params.to {
        TransferTarget::Operator(Wire(user)) => Target::Operator(user),
        TransferTarget::Queue(Wire(queue)) => Target::Queue(queue),
    };
    let call = ChatCall::Transfer { by: author, command: params.command_id.0, to };
    // The chat is asked first, whatever became of the target: the call may be a repeat.
    let failed = match by.edge.router.call_chat(chat, call).await {
        Ok(_) => return state(by, chat).await,
        Err(error) => error,
    };
    match (failed, to) {
        (CallError::Refused(Refusal::UnknownTarget), to) => Err(no_target(by, to)),
        // It waits in that line already.
        (CallError::Refused(Refusal::AlreadyThere), Target::Queue(_)) => {
            let waiting = Refusal::WrongState { state: crate::domain::ChatState::Waiting };
            Err(by.hide(Method::ChatTransfer, chat, CallError::Refused(waiting)).await)
        }
        (failed, Target::Queue(_) | Target::Operator(_)) => {
            Err(by.hide(Method::ChatTransfer, chat, failed).await)
        }
    }
}

/// Why nobody can go there: there is no such operator or queue, or it takes none.
fn no_target(by: &Caller, to: Target) -> ErrorFrame {
    let snapshot = by.edge.catalog.snapshot();
    let active = match to {
        Target::Operator(user) => {
            let found = snapshot.user(user).filter(|user| user.role.serves_chats());
            found.map(|user| (user.active, TargetReasonFrame::Offline))
        }
        Target::Queue(queue) => {
            snapshot.queue(queue).map(|found| (found.active, TargetReasonFrame::QueueInactive))
        }
    };
    match active {
        None => ErrorFrame::field(ErrorKind::NotFound, "to", "there is no such target"),
        Some((false, reason)) => ErrorFrame::target_unavailable(reason),
        // It has come back at this moment.
        Some((true, _)) => unavailable(),
    }
}

async fn take_chat(by: &Caller, params: ChatCommandFrame) -> Result<ChatStateFrame, ErrorFrame> {
    let author = by.author(Method::ChatTake)?;
    let (chat, command) = (params.chat.0, params.command_id.0);
    let chat_administrator = author.chat_administrator;
    let call = OperatorCall::Take { chat, command, chat_administrator };
    operate(by, Method::ChatTake, chat, call).await
}

async fn answer_offer(
    by: &Caller,
    method: Method,
    params: OfferAnswerFrame,
) -> Result<ChatStateFrame, ErrorFrame> {
    let (chat, offer, command) = (params.chat.0, params.offer.0, params.command_id.0);
    let call = if method == Method::OfferDecline {
        OperatorCall::Decline { chat, offer, command }
    } else {
        OperatorCall::Accept { chat, offer, command }
    };
    operate(by, method, chat, call).await
}

async fn operate(
    by: &Caller,
    method: Method,
    chat: ChatId,
    call: OperatorCall,
) -> Result<ChatStateFrame, ErrorFrame> {
    match by.edge.router.call_operator(by.user()?, call).await {
        Ok(_) => state(by, chat).await,
        Err(error) => Err(by.hide(method, chat, error).await),
    }
}

async fn set_status(by: &Caller, params: SetStatusFrame) -> Result<DoneFrame, ErrorFrame> {
    let status = params
        .meant()
        .map_err(|bad| ErrorFrame::field(ErrorKind::InvalidParams, "reason", bad.to_string()))?;
    if let Status::Away(reason) = &status {
        can_be_chosen(by, reason)?;
    }
    let call = OperatorCall::SetStatus(status);
    match by.edge.router.call_operator(by.user()?, call).await {
        Ok(_) => Ok(DoneFrame {}),
        // Deactivated at this moment: its socket is about to be closed.
        Err(CallError::Refused(Refusal::NoSlot(_))) => Err(ErrorFrame::of(ErrorKind::Forbidden)),
        Err(error) => Err(refused(error)),
    }
}

/// Errors when there is a list of reasons and this is none of them. Who says none is away for none.
fn can_be_chosen(by: &Caller, reason: &AwayReason) -> Result<(), ErrorFrame> {
    let snapshot = by.edge.catalog.snapshot();
    let Some(reasons) = snapshot.reasons_to_choose() else { return Ok(()) };
    let text = reason.as_str();
    if text.is_empty() || reasons.contains(text) {
        return Ok(());
    }
    let reasons: Vec<String> = reasons.into_iter().map(|reason| format!("`{reason}`")).collect();
    let what = match reasons.is_empty() {
        true => "reason: the list of reasons cannot be read; give none".to_owned(),
        false => format!("reason: choose one of the list, or none: {}", reasons.join(", ")),
    };
    Err(ErrorFrame::field(ErrorKind::InvalidParams, "reason", what))
}

async fn shown(by: &Caller, params: OfferShownFrame) -> Result<DoneFrame, ErrorFrame> {
    let call = OperatorCall::Shown { chat: params.chat.0, offer: params.offer.0 };
    match by.edge.router.call_operator(by.user()?, call).await {
        // An offer that is gone needs no word; one that never was tells nothing.
        Ok(_) | Err(CallError::Refused(Refusal::UnknownChat)) => Ok(DoneFrame {}),
        Err(error) => Err(refused(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::CommandId;
    use crate::protocol::read_request;

    const CHAT: &str = "00000000-0000-0000-0000-000000000001";

    fn call(method: &str, params: &str) -> Call {
        let params = params.replace("CHAT", CHAT);
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}}}}}"#);
        read_request(text.as_bytes()).unwrap().call
    }

    #[test]
    fn what_changes_a_conversation_keeps_its_order_in_the_lane_in_which_it_is_carried_out() {
        let chat = ChatId::from_u128(1);
        for (method, params) in [
            ("message.send", r#""chat":"CHAT","client_message_id":"i","text":"t""#),
            ("chat.end", r#""chat":"CHAT","command_id":"i""#),
            ("chat.transfer", r#""chat":"CHAT","command_id":"i","to":{"queue":"CHAT"}"#),
            ("chat.set_state", r#""chat":"CHAT","command_id":"i","state":"in_progress""#),
        ] {
            let call = call(method, params);
            for (by, lane) in
                [(Audience::Customer, Lane::Conversation), (Audience::Staff, Lane::Chat(chat))]
            {
                let id = CommandId::new("i").unwrap();
                let change = Change { chat: Some(chat), method: call.method(), id };
                assert_eq!(placed(by, &call), Some((lane, Order::Keeps(change))), "{method}");
                assert_eq!(super::lane(by, &call), lane, "{method}");
            }
        }
    }

    #[test]
    fn a_call_that_met_an_error_of_ours_is_put_off_as_its_client_puts_it_off() {
        let id = RequestId::Number(1);
        let later = |error| answer::<()>(&id, Err(error)).later_ms;
        assert_eq!(later(ErrorFrame::of(ErrorKind::Internal)), Some(UNAVAILABLE_RETRY_MS));
        assert_eq!(later(ErrorFrame::later(ErrorKind::Overloaded, 7)), Some(7));
        assert_eq!(later(ErrorFrame::of(ErrorKind::NotFound)), None);
        assert_eq!(answer(&id, Ok(DoneFrame {})).later_ms, None);
    }
}
