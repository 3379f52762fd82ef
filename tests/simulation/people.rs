//! Customers and operators: what they do, and the odd things they try.

use std::collections::BTreeMap;

use switchboard::domain::operator::AwayReason;
use switchboard::domain::{
    self, ChannelId, ChatId, ChatState, CommandId, CustomerId, MessageText, Name, OfferId, Person,
    Priority, Profile, QueueId, Status, UserId,
};
use switchboard::machine::chat::{Answer, Author, ChatCall, Refusal, Target};
use switchboard::machine::operator::{OperatorCall, OperatorInput};

use crate::world::{Happening, World};

pub struct Customer {
    pub id: domain::Customer,
    chat: Option<ChatId>,
    left: Option<ChatId>,
    opening: bool,
    said: u64,
    /// What was written into the present chat, to be sent again long after.
    sent: Vec<(CommandId, MessageText)>,
    /// What the latest tokens say that its site issued, the newest last. Tabs have different ones.
    tokens: Vec<Profile>,
    issued: u64,
}

impl Customer {
    pub fn new(n: usize) -> Self {
        // Two channels' sites mean different people by the same id.
        let id = domain::Customer {
            channel: ChannelId::from_u128(1 + n as u128 % 2),
            id: CustomerId::from_u128(0x0c00_0000 + n as u128 / 2),
        };
        Self {
            id,
            chat: None,
            left: None,
            opening: false,
            said: 0,
            sent: Vec::new(),
            tokens: Vec::new(),
            issued: 0,
        }
    }
}

/// Whether the customer opens and ends one chat after the other.
fn is_hasty(n: usize) -> bool {
    n % 10 == 3
}

pub struct Human {
    pub id: UserId,
    pub connections: Vec<u64>,
    /// What the screens show: the offer, and its queue.
    pub offers: BTreeMap<ChatId, (OfferId, QueueId)>,
    acts: u64,
}

impl Human {
    pub fn new(id: UserId) -> Self {
        Self { id, connections: Vec::new(), offers: BTreeMap::new(), acts: 0 }
    }
}

fn customer(id: domain::Customer) -> Author {
    Author { person: Person::Customer(id), chat_administrator: false }
}

fn user(id: UserId, chat_administrator: bool) -> Author {
    Author { person: Person::User(id), chat_administrator }
}

impl World {
    fn text(&mut self) -> MessageText {
        MessageText::new(&format!("line {}", self.rng.below(1_000_000))).expect("not empty")
    }

    fn command(&mut self, who: &str, n: u64) -> CommandId {
        CommandId::new(&format!("{who}-{n}")).expect("short")
    }

    /// The next id of somebody's own; now and then one of the latest, for whatever comes next: a
    /// client that counts wrongly, or two tabs that count alike.
    fn next_id(&mut self, who: &str, n: u64) -> CommandId {
        if self.rng.chance(60) {
            let back = self.rng.within(1, 20);
            self.coverage.count("odd", "id used again");
            return self.command(who, n.saturating_sub(back).max(1));
        }
        self.command(who, n)
    }

    // ---- customers ----

    /// What the token says with which the customer comes: the newest, or one that another tab has.
    fn token(&mut self, n: usize) -> Profile {
        if self.customers[n].tokens.is_empty() || self.rng.chance(150) {
            self.issue_token(n);
        }
        let newest = self.customers[n].tokens.last().cloned().expect("one was issued");
        if self.rng.chance(300) {
            let any = self.rng.pick(&self.customers[n].tokens).cloned().expect("one was issued");
            if any.issued_at < newest.issued_at {
                self.coverage.count("token", "older");
            }
            return any;
        }
        newest
    }

    fn issue_token(&mut self, n: usize) {
        self.customers[n].issued += 1;
        let name = format!("guest {n} of {}", self.customers[n].issued);
        let priority = Priority::new(self.rng.below(3) as u8).expect("small");
        let again = self.rng.chance(100);
        let tokens = &mut self.customers[n].tokens;
        let issued_at = match tokens.last() {
            Some(last) if again => {
                self.coverage.count("token", "of the same moment");
                last.issued_at
            }
            Some(_) | None => domain::Timestamp(self.now),
        };
        let name = Some(Name::new(&name).expect("short"));
        let profile = Profile { issued_at, priority, name };
        self.checker.tokens.issued(&profile);
        tokens.push(profile);
        tokens.drain(..tokens.len().saturating_sub(3));
    }

    pub fn customer_acts(&mut self, n: usize) {
        let hasty = is_hasty(n);
        let at =
            self.now + if hasty { self.rng.within(50, 900) } else { self.rng.within(200, 4_000) };
        self.at(at, None, Happening::Customer(n));
        if self.resting() || self.customers[n].opening {
            return;
        }
        self.customers[n].said += 1;
        let (id, said) = (self.customers[n].id, self.customers[n].said);
        let command = self.next_id("c", said);
        let Some(chat) = self.customers[n].chat else {
            self.open(n, command);
            return;
        };
        let by = customer(id);
        let (text, token) = (self.text(), self.token(n));
        let profile = Some(token.clone());
        match self.rng.below(100) {
            6..60 if hasty => {
                self.call_chat(chat, ChatCall::End { by, command });
            }
            0..6 => {
                self.call_chat(chat, ChatCall::End { by, command });
            }
            6..8 => {
                // Writes into a chat that is not its own.
                let chats: Vec<ChatId> = self.store.logs.keys().copied().collect();
                if let Some(foreign) = self.rng.pick(&chats).copied() {
                    self.call_chat(foreign, ChatCall::Send { by, id: command, text, profile });
                }
            }
            8 => {
                let nowhere = ChatId::from_u128(0xdead_0000 + u128::from(self.rng.below(50)));
                self.call_chat(nowhere, ChatCall::Send { by, id: command, text, profile });
            }
            9..12 => {
                // Uses an id again for another text.
                let id = self.command("c", said.saturating_sub(1).max(1));
                self.call_chat(chat, ChatCall::Send { by, id, text, profile });
            }
            12..20 => {
                // A page that was asleep sends again what it never heard of.
                if let Some((id, text)) = self.rng.pick(&self.customers[n].sent).cloned() {
                    self.coverage.count("odd", "sent again long after");
                    self.call_chat(chat, ChatCall::Send { by, id, text, profile });
                }
            }
            20..30 => {
                // Its page has got another token.
                self.call_chat(chat, ChatCall::UpdateCustomer { by, profile: token });
            }
            _ => {
                self.customer_writes(n, chat, (command, text));
                // In a hurry: the next ones do not wait for the answer to the first.
                let more = if self.rng.chance(300) { self.rng.within(1, 5) } else { 0 };
                for _ in 0..more {
                    self.customers[n].said += 1;
                    let command = self.next_id("c", self.customers[n].said);
                    let text = self.text();
                    self.customer_writes(n, chat, (command, text));
                }
                if more > 0 && self.rng.chance(100) {
                    self.customers[n].said += 1;
                    let command = self.next_id("c", self.customers[n].said);
                    self.call_chat(chat, ChatCall::End { by, command });
                }
            }
        }
    }

    fn customer_writes(&mut self, n: usize, chat: ChatId, (id, text): (CommandId, MessageText)) {
        let (by, profile) = (customer(self.customers[n].id), Some(self.token(n)));
        self.customers[n].sent.push((id.clone(), text.clone()));
        self.call_chat(chat, ChatCall::Send { by, id, text, profile });
    }

    fn open(&mut self, n: usize, command: CommandId) {
        let taking = self.configs.values().filter(|queue| queue.active);
        let queues: Vec<QueueId> = taking.map(|queue| queue.id).collect();
        let queue = if is_hasty(n) { queues.first() } else { self.rng.pick(&queues) };
        let Some(queue) = queue.copied() else {
            return;
        };
        let (id, left, said) =
            (self.customers[n].id, self.customers[n].left, self.customers[n].said);
        let chat = ChatId::from_u128(0x0d00_0000 + (n as u128) * 0x1_0000 + u128::from(said));
        if let Some(left) = left
            && self.rng.chance(500)
        {
            self.call_chat(left, ChatCall::Continue { chat });
        }
        self.customers[n].opening = true;
        self.customers[n].sent.clear();
        let (profile, continues) = (self.token(n), left);
        self.call_chat(chat, ChatCall::Open { customer: id, command, queue, profile, continues });
    }

    pub fn customer_heard(
        &mut self,
        chat: ChatId,
        wanted: &ChatCall,
        answer: Result<Answer, Refusal>,
    ) {
        match (wanted, answer) {
            (ChatCall::Open { customer, .. }, answer) => {
                if let Some(who) = self.customers.iter_mut().find(|c| c.id == *customer) {
                    who.opening = false;
                    who.chat = answer.ok().map(|_| chat);
                }
            }
            (ChatCall::End { .. }, Ok(_)) | (_, Err(Refusal::Ended { .. })) => {
                if let Some(who) = self.customers.iter_mut().find(|c| c.chat == Some(chat)) {
                    who.chat = None;
                    who.left = Some(chat);
                }
            }
            (_, Ok(_) | Err(_)) => {}
        }
    }

    /// A client that hangs up starts over.
    pub fn gave_up(&mut self, wanted: &ChatCall) {
        if let ChatCall::Open { customer, .. } = wanted
            && let Some(who) = self.customers.iter_mut().find(|c| c.id == *customer)
        {
            who.opening = false;
        }
    }

    // ---- operators ----

    pub fn human_acts(&mut self, n: usize) {
        let at = self.now + self.rng.within(100, 1_200);
        self.at(at, None, Happening::Human(n));
        self.check_screen(n);
        if self.resting() {
            return;
        }
        self.humans[n].acts += 1;
        let (id, acts) = (self.humans[n].id, self.humans[n].acts);
        let command = self.next_id("o", acts);
        if self.humans[n].connections.is_empty() {
            if self.rng.chance(500) {
                self.connect(n);
            }
            return;
        }
        let status = self.operators.get(&id).map(|live| live.machine.status().clone());
        if status.is_some_and(|status| status != Status::Ready) && self.rng.chance(500) {
            self.call_operator(id, OperatorCall::SetStatus(Status::Ready));
            return;
        }
        match self.rng.below(100) {
            0..45 => self.look_at_offers(n, command),
            45..85 => self.work(id, command),
            85..90 => self.take(id, command),
            90..93 => {
                let reason = AwayReason::new("coffee").expect("short");
                let wanted = [Status::Away(reason), Status::Busy, Status::Offline];
                let status = self.rng.pick(&wanted).cloned().expect("three");
                self.call_operator(id, OperatorCall::SetStatus(status));
                if self.rng.chance(400) {
                    // Only for a moment; nobody waits for the answer.
                    let back = OperatorCall::SetStatus(Status::Ready);
                    let at = self.now + self.rng.within(10, 300);
                    self.at(at, Some(self.process), Happening::OperatorCall(id, 0, back));
                }
            }
            93..96 => self.lose_connection(n),
            96 => self.connect(n),
            _ => self.mischief(id, command),
        }
    }

    fn connect(&mut self, n: usize) {
        let connection = self.rng.next();
        self.humans[n].connections.push(connection);
        self.operator_step(self.humans[n].id, OperatorInput::Connected(connection));
    }

    fn lose_connection(&mut self, n: usize) {
        if self.faulty()
            && let Some(connection) = self.humans[n].connections.pop()
        {
            self.fault("connection lost");
            self.operator_step(self.humans[n].id, OperatorInput::Disconnected(connection));
        }
    }

    fn look_at_offers(&mut self, n: usize, command: CommandId) {
        let id = self.humans[n].id;
        let offers: Vec<(ChatId, OfferId)> =
            self.humans[n].offers.iter().map(|(chat, (offer, _))| (*chat, *offer)).collect();
        let Some((chat, offer)) = self.rng.pick(&offers).copied() else {
            return;
        };
        let wanted = match self.rng.below(10) {
            0..7 => OperatorCall::Accept { chat, offer, command: command.clone() },
            7..9 => OperatorCall::Decline { chat, offer, command: command.clone() },
            _ => return,
        };
        self.call_operator(id, wanted);
        if self.rng.chance(100) {
            // The other tab accepts as well.
            let command = self.command("tab", command.as_str().len() as u64 + self.now);
            self.call_operator(id, OperatorCall::Accept { chat, offer, command });
        }
    }

    fn work(&mut self, id: UserId, command: CommandId) {
        let mine = self.checker.owned_by(id);
        let Some(chat) = self.rng.pick(&mine).copied() else {
            return;
        };
        let by = user(id, false);
        let text = self.text();
        let others: Vec<UserId> = self.capacities.keys().copied().collect();
        let taking = self.configs.values().filter(|queue| queue.active);
        let queues: Vec<QueueId> = taking.map(|queue| queue.id).collect();
        let wanted = match self.rng.below(100) {
            0..45 => ChatCall::Send { by, id: command, text, profile: None },
            45..58 => ChatCall::Begin { by, command },
            58..76 => ChatCall::End { by, command },
            76..92 => {
                let to = self.rng.pick(&others).copied().expect("operators");
                ChatCall::Transfer { by, command, to: Target::Operator(to) }
            }
            _ => {
                let to = self.rng.pick(&queues).copied().expect("queues");
                ChatCall::Transfer { by, command, to: Target::Queue(to) }
            }
        };
        if self.rng.chance(100) {
            // Asks for a transfer twice, under different ids.
            let to = self.rng.pick(&others).copied().expect("operators");
            let command = self.command("again", self.now);
            self.call_chat(chat, ChatCall::Transfer { by, command, to: Target::Operator(to) });
        }
        self.call_chat(chat, wanted);
    }

    fn take(&mut self, id: UserId, command: CommandId) {
        let waiting = self.checker.in_state(ChatState::Waiting);
        let Some(chat) = self.rng.pick(&waiting).copied() else {
            return;
        };
        let chat_administrator = self.rng.chance(300);
        self.call_operator(id, OperatorCall::Take { chat, command, chat_administrator });
    }

    /// What nobody should do, and what administrators may.
    fn mischief(&mut self, id: UserId, command: CommandId) {
        let chats: Vec<ChatId> = self.store.logs.keys().copied().collect();
        let Some(chat) = self.rng.pick(&chats).copied() else {
            return;
        };
        let by = user(id, self.rng.chance(500));
        let taking = self.configs.values().filter(|queue| queue.active);
        let queues: Vec<QueueId> = taking.map(|queue| queue.id).collect();
        let to = self.rng.pick(&queues).copied().expect("queues");
        match self.rng.below(9) {
            7..9 => {
                // Under an id that stands in a chat for something else.
                let used = self.checker.ids_of(id);
                if let Some((chat, command)) = self.rng.pick(&used).cloned() {
                    let offer = self.offer_id();
                    let chat_administrator = true;
                    let wanted = match self.rng.below(2) {
                        0 => OperatorCall::Accept { chat, offer, command },
                        _ => OperatorCall::Take { chat, command, chat_administrator },
                    };
                    self.call_operator(id, wanted);
                }
            }
            6 => {
                let to = Target::Queue(QueueId::from_u128(0xdead));
                self.call_chat(chat, ChatCall::TransferNowhere { by, command, to });
            }
            0 => {
                let text = self.text();
                self.call_chat(chat, ChatCall::Send { by, id: command, text, profile: None });
            }
            1 => {
                let offer = self.offer_id();
                self.call_operator(id, OperatorCall::Accept { chat, offer, command });
            }
            2 => {
                self.call_chat(chat, ChatCall::Begin { by, command });
            }
            3 => {
                self.call_chat(chat, ChatCall::Transfer { by, command, to: Target::Queue(to) });
            }
            4 => {
                self.call_operator(
                    id,
                    OperatorCall::Take { chat, command, chat_administrator: true },
                );
            }
            _ => {
                if self.rng.chance(200) {
                    self.call_chat(chat, ChatCall::End { by, command });
                }
            }
        }
    }
}
