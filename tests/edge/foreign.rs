//! What is limited to the asker's own: every operation of which the table says so is asked about what is
//! somebody else's, by everybody to whom it says so. A new one does not compile before it is said here
//! what would be somebody else's.

use serde_json::{Value, json};
use switchboard::domain::rights::{Operation, Right, Subject};

use crate::client::Client;
use crate::harness::{World, id, until};
use crate::rights::token_of;

/// Chats of others.
struct Theirs {
    /// Anna has it.
    owned: Value,
    /// It is offered to Anna.
    offered: Value,
    offer: Value,
    /// It waits in a queue that is nobody's who asks.
    waiting: Value,
}

impl Theirs {
    fn chats(&self) -> [&Value; 3] {
        [&self.owned, &self.offered, &self.waiting]
    }
}

/// What somebody else's is in an operation.
enum Asked {
    /// A request, which is refused.
    Rest(&'static str, String, Option<Value>),
    /// A call of the method of the operation's name with these params, which is refused.
    Call(Value),
    /// The same, which is answered as for what never was: it tells nothing.
    Tells(Value),
    /// Lists, in which nothing of others is.
    Lists,
    /// It names nothing: what it is done to is the asker's own by itself.
    Nothing,
}

async fn open(world: &World) -> (Client, Value) {
    let mut customer = world.customer("Shop").await;
    let shop = json!({"command_id": "c1", "channel": id("channel", "Shop")});
    let chat = customer.call("chat.open", shop).await.unwrap()["chat"].clone();
    (customer, chat)
}

/// The chats, with the sockets of those whose they are.
async fn theirs(world: &World) -> (Theirs, Vec<Client>) {
    let (first, waiting) = open(world).await;
    let mut maria = world.ready("maria").await;
    let take = json!({"command_id": "k1", "chat": waiting});
    maria.call("chat.take", take).await.unwrap();
    let to = json!({"queue": id("queue", "Back office")});
    let give = json!({"command_id": "t1", "chat": waiting, "to": to});
    maria.call("chat.transfer", give).await.unwrap();
    let mut anna = world.ready("anna").await;
    let (second, owned) = open(world).await;
    let offer = anna.wait("offer.presented").await["offer"].clone();
    let accept = json!({"command_id": "a1", "chat": owned, "offer": offer});
    anna.call("offer.accept", accept).await.unwrap();
    let (third, offered) = open(world).await;
    let offer = anna.wait("offer.presented").await["offer"].clone();
    (Theirs { owned, offered, offer, waiting }, vec![first, maria, anna, second, third])
}

/// None: the table limits it to nobody's own.
fn asked(operation: Operation, theirs: &Theirs, anna: &str) -> Option<Asked> {
    let Theirs { owned, offered, offer, waiting } = theirs;
    let command = "f1";
    let of_chat = || format!("/api/v1/chats/{}", owned.as_str().unwrap_or_default());
    let of_channel = || format!("/api/v1/channels/{}", id("channel", "Employees"));
    let customer = "0190a3a4-0000-7000-8000-000000000000";
    let clara = format!("/api/v1/users/{}", id("user", "clara"));
    let marked = || json!({"chat": owned, "up_to": 1});
    let answer = json!({"command_id": command, "chat": offered, "offer": offer});
    Some(match operation {
        Operation::SessionRenew => Asked::Call(json!({"token": anna})),
        Operation::ChatOpen => {
            let channel = id("channel", "Employees");
            Asked::Call(json!({"command_id": command, "channel": channel}))
        }
        Operation::MessageSend => {
            Asked::Call(json!({"chat": owned, "client_message_id": "f", "text": "not mine"}))
        }
        Operation::MessageReceived | Operation::MessageRead => Asked::Call(marked()),
        Operation::ChatEnd => Asked::Call(json!({"command_id": command, "chat": owned})),
        Operation::ChatHistory => Asked::Call(json!({"chat": owned})),
        Operation::OfferShown => Asked::Tells(json!({"chat": offered, "offer": offer})),
        Operation::OfferAccept | Operation::OfferDecline => Asked::Call(answer),
        Operation::ChatTransfer => {
            let to = json!({"queue": id("queue", "Support")});
            Asked::Call(json!({"command_id": command, "chat": owned, "to": to}))
        }
        Operation::ChatTake => Asked::Call(json!({"command_id": command, "chat": waiting})),
        Operation::ChatSetState => {
            Asked::Call(json!({"command_id": command, "chat": owned, "state": "in_progress"}))
        }
        Operation::ChatList => Asked::Lists,
        Operation::VisitorTokensIssue => {
            Asked::Rest("POST", format!("{}/visitor-tokens", of_channel()), Some(json!({})))
        }
        Operation::VisitorTokensRevoke => {
            Asked::Rest("DELETE", format!("{}/visitor-tokens/{customer}", of_channel()), None)
        }
        Operation::CustomersErase => {
            Asked::Rest("DELETE", format!("{}/customers/{customer}", of_channel()), None)
        }
        Operation::UsersRead => Asked::Rest("GET", clara, None),
        Operation::UsersSetPassword => {
            let password = json!({"password": "somebody else's", "current": "demo-clara-1"});
            Asked::Rest("PUT", format!("{clara}/password"), Some(password))
        }
        Operation::ChatsRead => Asked::Rest("GET", of_chat(), None),
        Operation::ChatsExplain => Asked::Rest("GET", format!("{}/explanation", of_chat()), None),
        Operation::OperatorSetStatus | Operation::SessionsLogOut => Asked::Nothing,
        Operation::SessionOpen
        | Operation::PresenceAnswer
        | Operation::SessionsLogIn
        | Operation::SessionsRefresh
        | Operation::UsersCreate
        | Operation::UsersChange
        | Operation::ChannelsRead
        | Operation::ChannelsCreate
        | Operation::ChannelsChange
        | Operation::ChannelsDelete
        | Operation::ChannelsSiteKey
        | Operation::OperatorsRead
        | Operation::OperatorsChange
        | Operation::QueuesRead
        | Operation::QueuesCreate
        | Operation::QueuesChange
        | Operation::QueuesDelete
        | Operation::AwayReasonsRead
        | Operation::AwayReasonsCreate
        | Operation::AwayReasonsChange
        | Operation::AwayReasonsDelete
        | Operation::AuditRead
        | Operation::DocumentsRead => return None,
    })
}

/// A token of somebody of whom none of those chats is.
async fn stranger(world: &World, subject: Subject) -> String {
    match subject {
        Subject::Operator => world.log_in("boris").await,
        Subject::Nobody
        | Subject::Site
        | Subject::Customer
        | Subject::ChatAdministrator
        | Subject::Administrator => token_of(world, subject).await,
    }
}

/// Where the chats are, and how long they are.
async fn states(world: &World, maria: &str, theirs: &Theirs) -> Vec<Value> {
    let mut states = Vec::new();
    for chat in theirs.chats() {
        let path = format!("/api/v1/chats/{}", chat.as_str().unwrap());
        let (status, state) = world.ask("GET", &path, maria, None).await;
        assert_eq!(status, 200, "{state}");
        states.push(state);
    }
    states
}

#[tokio::test]
async fn what_is_somebody_elses_is_out_of_reach_of_whoever_may_do_it_with_its_own() {
    let world = World::start().await;
    let (theirs, _sockets) = theirs(&world).await;
    let (anna, maria) = (world.log_in("anna").await, world.log_in("maria").await);
    let before = states(&world, &maria, &theirs).await;
    // At work, and asked by nobody: what is refused is refused for want of a right.
    let mut boris = world.user("boris").await;
    let busy = json!({"command_id": "s1", "status": "busy"});
    boris.call("operator.set_status", busy).await.unwrap();
    for operation in Operation::ALL {
        let limited = |subject: &&Subject| operation.right(**subject) == Right::Own;
        let subjects: Vec<_> = Subject::ALL.iter().filter(limited).collect();
        let asked = asked(*operation, &theirs, &anna);
        assert_eq!(asked.is_some(), !subjects.is_empty(), "{}", operation.name());
        let Some(asked) = asked else { continue };
        for subject in subjects {
            let what = format!("{} by {}", operation.name(), subject.word());
            let token = stranger(&world, *subject).await;
            let mut socket = world.socket().await;
            match &asked {
                Asked::Rest(verb, path, body) => {
                    let (status, answer) = world.ask(verb, path, &token, body.clone()).await;
                    assert!([403, 404].contains(&status), "{what}: {status} {answer}");
                }
                Asked::Call(params) => {
                    socket.open(&token, json!([])).await.unwrap();
                    let name = socket.refused(operation.name(), params.clone()).await;
                    let refusals =
                        ["not_found", "not_yours", "offer_gone", "session_exists", "forbidden"];
                    assert!(refusals.contains(&name.as_str()), "{what}: {name}");
                }
                Asked::Tells(params) => {
                    socket.open(&token, json!([])).await.unwrap();
                    let answer = socket.call(operation.name(), params.clone()).await;
                    assert_eq!(answer, Ok(json!({})), "{what}");
                }
                Asked::Lists => {
                    socket.open(&token, json!([])).await.unwrap();
                    for scope in ["mine", "closed", "line"] {
                        let list = json!({"scope": scope});
                        let list = socket.call(operation.name(), list).await.unwrap().to_string();
                        for chat in [&theirs.owned, &theirs.waiting] {
                            assert!(!list.contains(chat.as_str().unwrap()), "{what}: {list}");
                        }
                    }
                }
                Asked::Nothing => {}
            }
        }
    }
    assert_eq!(states(&world, &maria, &theirs).await, before, "nothing was done to them");
    assert_eq!(world.tokens("clara", "demo-clara-1").await.0, 201, "nor to her password");
    for login in ["boris", "maria"] {
        let token = world.log_in(login).await;
        let (_, page) = world.ask("GET", "/api/v1/users?limit=9", &token, None).await;
        let listed: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|user| &user["id"]).collect();
        assert_eq!(listed, [&json!(id("user", login))], "who may read itself lists itself");
    }
    let chats = async |token: &str| world.ask("GET", "/api/v1/chats", token, None).await.1;
    until("all of them are in the history", async || {
        let listed = chats(&maria).await.to_string();
        theirs.chats().iter().all(|chat| listed.contains(chat.as_str().unwrap()))
    })
    .await;
    for subject in [Subject::Operator, Subject::Customer] {
        let listed = chats(&stranger(&world, subject).await).await;
        assert_eq!(listed["items"], json!([]), "{}: {listed}", subject.word());
    }
}
