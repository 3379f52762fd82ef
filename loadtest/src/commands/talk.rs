//! `loadtest talk`: a person at a terminal.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use loadtest::client::clock::Clock;
use loadtest::client::{Client, Happening, Rest, TokenSource, Waits};
use loadtest::talk::{Reaction, Terminal, demo};
use switchboard::config::seed_id;
use switchboard::domain::{ChannelId, CommandId, CustomerId};
use switchboard::protocol::Wire;
use switchboard::protocol::params::TransferTarget;
use switchboard::protocol::rest::body::{OperatorResponse, PageResponse, QueueResponse};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Where another user's password is read.
const PASSWORD_VARIABLE: &str = "LOADTEST_PASSWORD";

/// How soon a lost connection is tried again, ms: a person watches.
const WAITS: Waits = Waits { first_ms: 200, most_ms: 2_000 };

/// The options of `talk`.
#[derive(Debug, Args)]
pub struct TalkArguments {
    /// A login of config/demo.toml (anna, boris, ...) or of LOADTEST_PASSWORD's owner; any other
    /// name is a customer's
    #[arg(long = "as", value_name = "NAME")]
    name: String,
    /// Where the server listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    server: String,
    /// By which channel of config/demo.toml a customer comes
    #[arg(long, value_name = "NAME", default_value = "Shop")]
    channel: String,
}

impl TalkArguments {
    /// Talks until /quit or the end of the input.
    pub async fn run(&self) -> anyhow::Result<bool> {
        let rest = Rest::new(&self.server);
        let (source, channel) = self.who(&rest)?;
        let prefix = CommandId::new(&uuid::Uuid::new_v4().simple().to_string())?;
        let mut terminal = Terminal::new(channel, prefix);
        let (mut client, mut inbox) = Client::start(
            &self.server,
            source.clone(),
            WAITS,
            Clock::start(),
            u64::from(std::process::id()),
            Arc::default(),
        );
        println!("{}", terminal.help());
        let mut typed = BufReader::new(tokio::io::stdin()).lines();
        loop {
            let reaction = tokio::select! {
                line = typed.next_line() => match line? {
                    Some(line) => terminal.typed(&line),
                    None => return Ok(true),
                },
                happening = inbox.recv() => match happening {
                    Some((_, Happening::Over(why))) => anyhow::bail!(why),
                    Some((_, happening)) => terminal.happened(happening),
                    None => return Ok(true),
                },
            };
            if carry_out(&reaction, &mut client) {
                return Ok(true);
            }
            if let Some(name) = reaction.look_up {
                let reaction = match look_up(&rest, source.clone(), &name).await {
                    Ok(Some(to)) => terminal.transfer(to),
                    Ok(None) => said(format!("!! there is no operator or queue {name}")),
                    Err(error) => said(format!("!! {error:#}")),
                };
                carry_out(&reaction, &mut client);
            }
        }
    }

    fn who(&self, rest: &Rest) -> anyhow::Result<(TokenSource, Option<ChannelId>)> {
        let users = demo::users().context("reading the demonstration's people")?;
        let user = users.iter().find(|user| user.login == self.name);
        let given = std::env::var(PASSWORD_VARIABLE).ok();
        let password = given.or(user.map(|user| user.password.clone()));
        if let Some(password) = password {
            let source = TokenSource::User {
                rest: rest.clone(),
                login: self.name.clone(),
                password,
                refresh: None,
            };
            return Ok((source, None));
        }
        let administrator = users.iter().find(|user| user.role == "administrator");
        let administrator = administrator.context("the demonstration has no administrator")?;
        let channel = ChannelId(seed_id("channel", &self.channel));
        let source = TokenSource::DemoVisitor {
            rest: rest.clone(),
            administrator: (administrator.login.clone(), administrator.password.clone()),
            channel,
            customer: CustomerId(seed_id("customer", &self.name)),
            name: self.name.clone(),
        };
        Ok((source, Some(channel)))
    }
}

fn said(line: String) -> Reaction {
    Reaction { lines: vec![line], ..Reaction::default() }
}

/// Prints and calls; says whether the person goes.
fn carry_out(reaction: &Reaction, client: &mut Client) -> bool {
    for line in &reaction.lines {
        println!("{line}");
    }
    for call in &reaction.calls {
        client.call(call.clone());
    }
    reaction.quit
}

/// Whom or what a name means; letters' case does not matter.
async fn look_up(
    rest: &Rest,
    mut source: TokenSource,
    name: &str,
) -> anyhow::Result<Option<TransferTarget>> {
    let fresh = source.fresh().await?;
    let bearer = fresh.token.expose();
    let operators: PageResponse<OperatorResponse> = rest.get(bearer, "/api/v1/operators").await?;
    let same = |other: &str| other.eq_ignore_ascii_case(name);
    if let Some(found) = operators.items.iter().find(|one| same(&one.name)) {
        return Ok(Some(TransferTarget::Operator(Wire(found.id.0))));
    }
    let queues: PageResponse<QueueResponse> = rest.get(bearer, "/api/v1/queues").await?;
    let found = queues.items.iter().find(|one| same(&one.queue.name));
    Ok(found.map(|queue| TransferTarget::Queue(Wire(queue.id.0))))
}
