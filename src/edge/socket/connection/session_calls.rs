//! The calls that are the connection's own: to open its session, with what the client missed, and to renew it.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::Connection;
use crate::edge::limits::{READ_PAGE, SESSION_ANSWER_LIMIT};
use crate::edge::socket::carry::{self, Todo};
use crate::edge::socket::end::End;
use crate::edge::socket::outgoing;
use crate::edge::socket::refusals::unavailable;
use crate::edge::socket::session::{self, Missed, OpenSession};
use crate::edge::socket::turns::Order;
use crate::protocol::answer::SessionRenewedFrame;
use crate::protocol::{
    Call, CloseKind, ErrorFrame, ErrorKind, Lane, Method, Notification, Request, RequestId,
};

impl Connection {
    /// A call before there is a session: only to open it.
    pub(super) async fn before_session(&mut self, request: Request) -> Result<(), End> {
        let Request { id, call } = request;
        let Call::SessionOpen(params) = call else {
            self.reject(Some(&id), &ErrorFrame::of(ErrorKind::SessionRequired));
            return Ok(());
        };
        let opened = session::open(&self.edge, self.client, params);
        let opened = timeout(SESSION_ANSWER_LIMIT, opened).await;
        match opened.unwrap_or_else(|_| Err(unavailable())) {
            Ok(opened) => {
                // From now on it does not have to give way.
                if !self.admitted.heard() {
                    return Err(CloseKind::SessionNotOpened.into());
                }
                self.say(carry::answer(&id, Ok(&opened.answer)).frame);
                for missed in opened.missed {
                    self.catch_up(&opened.session, missed).await?;
                }
                for offer in opened.offers {
                    self.unsent.extend(
                        outgoing::written(&Notification::OfferPresented(offer))
                            .map(|text| Message::Text(text.into())),
                    );
                }
                self.session = Some(opened.session);
                // It may have been revoked while the session was being opened.
                self.still()?;
            }
            Err(error) => self.reject(Some(&id), &error),
        }
        Ok(())
    }

    /// Sends what a client missed in a chat.
    async fn catch_up(&mut self, session: &OpenSession, missed: Missed) -> Result<(), End> {
        let Missed { chat, mut from, to } = missed;
        while from <= to {
            let limit = (to - from + 1).min(READ_PAGE as u64) as usize;
            let audience = session.caller.audience();
            let page = self.edge.router.history(chat, audience, from, limit).await;
            // A resume that cannot be finished is begun again.
            let page = page.map_err(|_| CloseKind::Unavailable)?;
            let Some(last) = page.last else { break };
            from = last + 1;
            for recorded in &page.shown {
                if let Some(frame) = outgoing::event(&session.caller, chat, recorded) {
                    self.say(frame);
                }
            }
            self.write().await?;
        }
        Ok(())
    }

    /// The newer token counts at once; a customer's chat hears of it in the order of what the customer
    /// does, and before the answer.
    pub(super) fn renew(&mut self, id: RequestId, token: &str) {
        let Some(session) = &mut self.session else { return };
        let renewed = session::renew(session, &self.edge, token).map(|()| SessionRenewedFrame {
            expires_at: session.principal.until.unwrap_or_default().into(),
        });
        let by = Arc::clone(&session.caller);
        if renewed.is_err() || by.customer().is_err() {
            return self.say(carry::answer(&id, renewed).frame);
        }
        let answered = id.clone();
        let work = Box::pin(async move {
            let work = pin!(session::renewed(&by));
            let told = by.permitted(Method::SessionRenew, work).await;
            carry::answer(&answered, told.and(renewed))
        });
        self.begin(id, Lane::Conversation, Order::Free, Todo::Alone(work));
    }
}
