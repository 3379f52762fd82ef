//! What the figures, the plots and the servers of a page mean.

use super::elements::section;
use super::markup::Markup;
use crate::measure::report::{BEFORE, Report};

/// What holds for every report.
const ALWAYS: [&str; 5] = [
    "Each round measures every server, one after the other, so that what the machine does meanwhile meets all \
     alike. A median is that of a server's rounds; of an even number of rounds it is the lower of the two in the \
     middle, so that it was measured.",
    "A ratio divides the router's figure by that of another server in the same round. It says more than a figure, \
     since it changes less from one machine to another. Figures can be compared on one machine only.",
    "A time by percentile: at 99 %, 99 of 100 took not longer. Each step to the right has a tenth of the times \
     behind it, and a line ends at its longest time. Lines of single rounds are thin; the one of the round with \
     the median is thick, and has its server's name at its end.",
    "With messages at a given rate, times count from when a message was due, so that a server that stands still is \
     not asked less. In a closed loop a slow server is asked less often, and its times look better than they are.",
    "Samples over time are taken at moments; peaks between two of them are not seen.",
];

/// What servers are, by name.
const SERVERS: [(&str, &str); 6] = [
    ("echo", "echo answers a message and does nothing else: it is what sockets cost."),
    (
        "forward",
        "forward answers a message and shows it to the other one: it is what passing on costs.",
    ),
    (
        "durable",
        "durable has a message synced in SQLite, many in one transaction, before it answers and shows it: it is \
         what a durable message costs at least. It knows no sessions, rights, repeats or histories.",
    ),
    ("recorded", "recorded is how customers and operators fared on the day that is replayed."),
    (
        "ideal",
        "ideal is what a router would make of the same customers and operators that takes no time and never errs.",
    ),
    (BEFORE, "before is another program of the router, measured in the same rounds."),
];

/// The last section.
pub fn how_to_read(report: &Report) -> Markup {
    let servers = SERVERS.into_iter().filter(|(name, _)| report.rounds.contains_key(*name));
    let texts = ALWAYS.into_iter().chain(servers.map(|(_, text)| text));
    section("How this is to be read", texts.map(|text| Markup::of("p", text)))
}
