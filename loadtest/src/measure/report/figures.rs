//! What each figure is called, and which way it is better.

/// What a figure is, wherever it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figure {
    /// What it is called in the form.
    pub name: &'static str,
    /// What people read.
    pub heading: &'static str,
    /// Its unit, as people read it.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Where a comparison says whether it is better or worse.
    pub judged: Judged,
    /// Whether it is compared as a part of a floor's: what the machine does meanwhile changes times and rates, but
    /// not sizes and counts.
    pub beside_floor: bool,
}

/// Where a figure that is better some way is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// Wherever it is measured.
    Everywhere,
    /// In one scenario. In others neither way is better.
    In(&'static str),
    /// Nowhere: it is that of a single message or chat, which says little of the others.
    Nowhere,
}

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// More of it.
    More,
    /// Less of it.
    Less,
    /// Neither: it says how the others came about.
    Neither,
}

/// All figures, in the order in which they are shown. A scenario gives those that it measures.
pub const FIGURES: &[Figure] = &[
    figure("acknowledged_per_second", "acknowledged", "/s", Better::More),
    figure("delivered_per_second", "delivered", "/s", Better::More),
    figure("acknowledge_p50_us", "acknowledged p50", "µs", Better::Less),
    figure("acknowledge_p99_us", "acknowledged p99", "µs", Better::Less),
    figure("acknowledge_max_us", "acknowledged longest", "µs", Better::Less)
        .judged(Judged::Nowhere),
    figure("deliver_p50_us", "delivered p50", "µs", Better::Less),
    figure("deliver_p99_us", "delivered p99", "µs", Better::Less),
    figure("deliver_max_us", "delivered longest", "µs", Better::Less).judged(Judged::Nowhere),
    figure("stall_max_us", "longest without an answer", "µs", Better::Less).judged(Judged::Nowhere),
    figure("cpu_us_per_message", "server's CPU a message", "µs", Better::Less),
    figure("server_cpu_share", "server's CPU", "of a core", Better::Neither),
    figure("driver_cpu_share", "driver's CPU", "of a core", Better::Neither),
    figure("unsent", "due and unsent", "", Better::Less).apart(),
    figure("sent_late_p50_us", "driver sent late p50", "µs", Better::Neither),
    figure("sent_late_p99_us", "driver sent late p99", "µs", Better::Neither),
    figure("sessions", "sessions", "", Better::Neither),
    figure("session_open_p50_us", "session open p50", "µs", Better::Less),
    figure("session_open_p99_us", "session open p99", "µs", Better::Less),
    figure("session_open_max_us", "session open longest", "µs", Better::Less)
        .judged(Judged::Nowhere),
    figure("session_open_kib", "a session, just open", "KiB", Better::Less).apart(),
    figure("session_idle_kib", "a session, idle", "KiB", Better::Less).apart(),
    figure("opened_per_second", "chats opened", "/s", Better::More),
    figure("offered_per_second", "chats offered", "/s", Better::More),
    figure("accepted_per_second", "chats accepted", "/s", Better::More),
    figure("ended_per_second", "chats ended", "/s", Better::More),
    figure("open_p50_us", "chat.open p50", "µs", Better::Less),
    figure("open_p99_us", "chat.open p99", "µs", Better::Less),
    figure("open_max_us", "chat.open longest", "µs", Better::Less).judged(Judged::Nowhere),
    figure("assign_p50_us", "opened to offered p50", "µs", Better::Less),
    figure("assign_p99_us", "opened to offered p99", "µs", Better::Less),
    figure("assign_max_us", "opened to offered longest", "µs", Better::Less)
        .judged(Judged::Nowhere),
    figure("assign_free_p50_us", "opened beside room to offered p50", "µs", Better::Less),
    figure("assign_free_p99_us", "opened beside room to offered p99", "µs", Better::Less),
    figure("assign_p99_in_floors", "offered p99 in durable p99", "times", Better::Less).apart(),
    figure("route_p50_us", "due to offered p50", "µs", Better::Less),
    figure("route_p99_us", "due to offered p99", "µs", Better::Less),
    figure("route_max_us", "due to offered longest", "µs", Better::Less).judged(Judged::Nowhere),
    figure("route_free_p50_us", "due beside room to offered p50", "µs", Better::Less),
    figure("route_free_p99_us", "due beside room to offered p99", "µs", Better::Less),
    figure("route_p99_in_floors", "due to offered p99 in durable p99", "times", Better::Less)
        .apart(),
    figure("accept_p50_us", "accept p50", "µs", Better::Less),
    figure("accept_p99_us", "accept p99", "µs", Better::Less),
    figure("accept_max_us", "accept longest", "µs", Better::Less).judged(Judged::Nowhere),
    figure("next_p50_us", "end to next offer p50", "µs", Better::Less),
    figure("next_p99_us", "end to next offer p99", "µs", Better::Less),
    figure("next_max_us", "end to next offer longest", "µs", Better::Less).judged(Judged::Nowhere),
    figure("cpu_us_per_chat", "server's CPU a chat", "µs", Better::Less),
    figure("line_mean", "chats in line", "", Better::Neither),
    figure("never_offered", "chats never offered", "", Better::Less).apart(),
    figure("accepts_missed", "accepts that came too late", "", Better::Neither),
    figure("declined", "offers declined", "", Better::Neither),
    figure("came_back", "operators back by a new socket", "", Better::Neither),
    figure("history_per_second", "pages of the history", "/s", Better::More),
    figure("history_p50_us", "page of the history p50", "µs", Better::Less),
    figure("history_p99_us", "page of the history p99", "µs", Better::Less),
    figure("history_max_us", "page of the history longest", "µs", Better::Less)
        .judged(Judged::Nowhere),
    figure("memory_growth", "memory grown after a minute", "part", Better::Neither),
    figure("customers", "customers", "", Better::Neither),
    figure("customers_served", "customers served", "", Better::Neither),
    figure("customers_left", "customers who left", "", Better::Neither),
    figure("customers_unserved", "unserved, nobody on duty", "", Better::Neither),
    figure("wait_trace_p50_us", "wait p50, trace time", "µs", Better::Less),
    figure("wait_trace_p99_us", "wait p99, trace time", "µs", Better::Less),
    figure("wait_trace_max_us", "wait longest, trace time", "µs", Better::Less)
        .judged(Judged::Nowhere),
    figure("wait_served_trace_p50_us", "wait of the served p50, trace time", "µs", Better::Less),
    figure("wait_served_trace_p99_us", "wait of the served p99, trace time", "µs", Better::Less),
    figure("wait_p50_us", "wait p50", "µs", Better::Less),
    figure("wait_p99_us", "wait p99", "µs", Better::Less),
    figure("wait_max_us", "wait longest", "µs", Better::Less).judged(Judged::Nowhere),
    figure("in_time", "answered within 20 s of the trace", "part", Better::Neither),
    figure("occupancy", "occupancy", "part", Better::Neither),
    figure("idle_beside_p50_us", "idle beside waiting p50", "µs", Better::Less),
    figure("idle_beside_p99_us", "idle beside waiting p99", "µs", Better::Less),
    figure("messages", "messages", "", Better::Neither),
    figure("chats", "chats", "", Better::Neither),
    figure("read_by_customers", "read again by customers", "chats", Better::Neither),
    figure("read_by_owners", "read again by last owners", "chats", Better::Neither),
    figure("read_by_auditor", "read again by the auditor", "chats", Better::Neither),
    figure("erased", "customers erased", "", Better::Neither),
    figure("kills", "kills under load", "", Better::Neither),
    figure("kills_tried", "kills in all", "", Better::Neither),
    figure("open_least", "open chats at a kill, least", "", Better::Neither),
    figure("open_mean", "open chats at a kill, mean", "", Better::Neither),
    figure("offers_least", "offers out at a kill, least", "", Better::Neither),
    figure("offers_mean", "offers out at a kill, mean", "", Better::Neither),
    figure("calls_least", "calls in flight at a kill, least", "", Better::Neither),
    figure("calls_mean", "calls in flight at a kill, mean", "", Better::Neither),
    figure("restart_p50_us", "kill to answer p50", "µs", Better::Less),
    figure("restart_p99_us", "kill to answer p99", "µs", Better::Less),
    figure("restart_max_us", "kill to answer longest", "µs", Better::Less).judged(Judged::Nowhere),
    figure("copies_whole", "backups that are whole", "", Better::Neither),
    figure("copies_missed", "backups that a kill met or prevented", "", Better::Neither),
    figure("chats_forgotten", "chats of long ago that were forgotten", "", Better::Neither),
    figure("kills_while_forgetting", "kills but the first that met that", "", Better::Neither),
    figure("away_us", "store away", "µs", Better::Neither),
    figure("noticed_us", "from its going to not ready", "µs", Better::Less),
    figure("recovered_us", "from its return to ready", "µs", Better::Less),
    figure("acknowledged_again_us", "from its return to an acknowledgement", "µs", Better::Less),
    figure("resident_before_bytes", "resident before", "bytes", Better::Neither),
    // Where messages or chats go on, a faster router has stored more at the end.
    figure("resident_bytes", "resident", "bytes", Better::Less)
        .apart()
        .judged(Judged::In("connections")),
];

const fn figure(
    name: &'static str,
    heading: &'static str,
    unit: &'static str,
    better: Better,
) -> Figure {
    let beside_floor = !matches!(better, Better::Neither);
    Figure { name, heading, unit, better, judged: Judged::Everywhere, beside_floor }
}

impl Figure {
    const fn apart(self) -> Self {
        Self { beside_floor: false, ..self }
    }

    const fn judged(self, judged: Judged) -> Self {
        Self { judged, ..self }
    }

    /// Which way it is better in a scenario.
    pub fn better_in(&self, scenario: &str) -> Better {
        match self.judged {
            Judged::In(only) if only != scenario => Better::Neither,
            Judged::Everywhere | Judged::In(_) | Judged::Nowhere => self.better,
        }
    }

    /// Whether a comparison of a scenario says that it is better or worse.
    pub fn is_judged_in(&self, scenario: &str) -> bool {
        self.judged != Judged::Nowhere && self.better_in(scenario) != Better::Neither
    }

    /// The figure of this name; none when it is not one of [`FIGURES`].
    pub fn named(name: &str) -> Option<&'static Self> {
        FIGURES.iter().find(|figure| figure.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_rates_are_compared_beside_a_floor_and_sizes_and_counts_alone() {
        for figure in FIGURES.iter().filter(|figure| figure.better != Better::Neither) {
            assert_eq!(figure.beside_floor, ["µs", "/s"].contains(&figure.unit), "{figure:?}");
        }
    }

    #[test]
    fn the_longest_is_judged_nowhere_and_memory_only_where_it_is_a_cost_of_sessions() {
        for figure in FIGURES {
            let is_longest = figure.name.ends_with("_max_us");
            assert_eq!(figure.judged == Judged::Nowhere, is_longest, "{figure:?}");
        }
        let resident = Figure::named("resident_bytes").unwrap();
        let judged = |scenario| resident.is_judged_in(scenario);
        assert_eq!(["connections", "messages", "routing"].map(judged), [true, false, false]);
        assert_eq!(resident.better_in("messages"), Better::Neither);
        let share = Figure::named("driver_cpu_share").unwrap();
        assert!(!share.is_judged_in("messages"));
    }

    #[test]
    fn no_two_figures_have_one_name() {
        let names: std::collections::BTreeSet<&str> =
            FIGURES.iter().map(|figure| figure.name).collect();
        assert_eq!(names.len(), FIGURES.len());
    }
}
