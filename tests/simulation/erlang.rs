//! Erlang's formulas: what queueing theory says about homogeneous traffic, to hold a simulation
//! against.
//!
//! Poisson arrivals at rate λ, exponential service of mean 1/μ, n servers, one line in order of
//! arrival. Erlang C: customers wait for ever (M/M/n). Erlang A: each leaves after an exponential
//! patience of mean 1/θ (M/M/n+M). All times in one unit, which the caller chooses.
//!
//! Sources: A. K. Erlang, "Solution of some problems in the theory of probabilities of
//! significance in automatic telephone exchanges" (1917), for B and C; for A, C. Palm's model in
//! the form by birth and death of A. Mandelbaum and S. Zeltyn, "The Palm/Erlang-A queue, with
//! applications to call centers" (2005), section 3.

/// Homogeneous traffic.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// Arrivals a unit of time; above 0.
    pub arrivals: f64,
    /// Mean time of service; above 0.
    pub service: f64,
    /// Servers; at least 1.
    pub servers: u32,
}

/// What Erlang C expects.
#[derive(Debug, Clone, Copy)]
pub struct ErlangC {
    /// The share of customers who wait at all.
    pub waits: f64,
    /// Mean wait of all customers, those who do not wait included.
    pub mean_wait: f64,
}

/// What Erlang A expects.
#[derive(Debug, Clone, Copy)]
pub struct ErlangA {
    /// The share of customers who find every server busy.
    pub waits: f64,
    /// The share of customers who leave unserved.
    pub leaves: f64,
    /// Mean time in line of all customers, served or not.
    pub mean_wait: f64,
    /// The share of the servers' time that is spent serving.
    pub occupancy: f64,
}

impl Traffic {
    /// Offered load in Erlang: the servers that would be busy if there were enough.
    pub fn load(&self) -> f64 {
        self.arrivals * self.service
    }

    /// Erlang B, the share that is refused when nobody can wait; by the stable recursion
    /// `B(n) = a B(n-1) / (n + a B(n-1))`.
    pub fn erlang_b(&self) -> f64 {
        let load = self.load();
        (1..=self.servers).fold(1.0, |blocked, n| load * blocked / (f64::from(n) + load * blocked))
    }

    /// Erlang C; none when the load is not below the number of servers, for then the line grows
    /// without end.
    pub fn erlang_c(&self) -> Option<ErlangC> {
        let servers = f64::from(self.servers);
        if self.load() >= servers {
            return None;
        }
        let blocked = self.erlang_b();
        let used = self.load() / servers;
        let waits = blocked / (1.0 - used * (1.0 - blocked));
        let mean_wait = waits * self.service / (servers - self.load());
        Some(ErlangC { waits, mean_wait })
    }

    /// Erlang A with this mean patience (above 0). Steady at any load.
    ///
    /// The states above n are summed until what follows adds less than a part in 10^15.
    pub fn erlang_a(&self, patience: f64) -> ErlangA {
        let servers = f64::from(self.servers);
        // All weights relative to the state in which exactly n are in the system.
        let blocked = self.erlang_b();
        let up_to_n = 1.0 / blocked;
        let (mut weight, mut above, mut in_line, mut waiting) = (1.0, 0.0, 0.0, 0.0_f64);
        loop {
            waiting += 1.0;
            weight *= self.arrivals / (servers / self.service + waiting / patience);
            above += weight;
            in_line += waiting * weight;
            // The weights fall for good once more leave than come.
            let falling = servers / self.service + waiting / patience > self.arrivals;
            if falling && waiting * weight < 1e-15 * (up_to_n + above) {
                break;
            }
        }
        let all = up_to_n + above;
        let line = in_line / all;
        let leaves = line / patience / self.arrivals;
        ErlangA {
            waits: (1.0 + above) / all,
            leaves,
            mean_wait: line / self.arrivals,
            occupancy: self.load() * (1.0 - leaves) / servers,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(got: f64, wanted: f64, within: f64) {
        assert!((got - wanted).abs() <= within, "got {got}, wanted {wanted}");
    }

    fn traffic(arrivals: f64, service: f64, servers: u32) -> Traffic {
        Traffic { arrivals, service, servers }
    }

    #[test]
    fn one_server_is_the_textbook_queue() {
        // M/M/1: waits with probability ρ, mean wait ρ / (μ − λ).
        let c = traffic(0.5, 1.0, 1).erlang_c().unwrap();
        close(c.waits, 0.5, 1e-12);
        close(c.mean_wait, 1.0, 1e-12);
    }

    #[test]
    fn two_and_three_servers_by_hand() {
        // M/M/2 at 1 Erlang: B = (1/2)/(1 + 1 + 1/2) = 1/5; C = 1/3; wait = (1/3)/(2 − 1).
        let two = traffic(1.0, 1.0, 2);
        close(two.erlang_b(), 0.2, 1e-12);
        close(two.erlang_c().unwrap().waits, 1.0 / 3.0, 1e-12);
        close(two.erlang_c().unwrap().mean_wait, 1.0 / 3.0, 1e-12);
        // M/M/3 at 2 Erlang: B = (8/6)/(1 + 2 + 2 + 8/6) = 4/19; C = 4/9; wait = 4/9.
        let three = traffic(2.0, 1.0, 3);
        close(three.erlang_b(), 4.0 / 19.0, 1e-12);
        close(three.erlang_c().unwrap().waits, 4.0 / 9.0, 1e-12);
        close(three.erlang_c().unwrap().mean_wait, 4.0 / 9.0, 1e-12);
    }

    #[test]
    fn agrees_with_the_direct_sums() {
        // The definition, summed without recursion: a^n/n! · n/(n−a) over itself and the rest.
        let ten = traffic(3.0, 3.0, 10);
        let load = ten.load();
        let mut term = 1.0;
        let mut sum = 1.0;
        for n in 1..10 {
            term *= load / f64::from(n);
            sum += term;
        }
        let top = term * load / 10.0 * 10.0 / (10.0 - load);
        close(ten.erlang_c().unwrap().waits, top / (sum + top), 1e-12);
    }

    #[test]
    fn no_steady_state_is_no_number() {
        assert!(traffic(2.0, 1.0, 2).erlang_c().is_none());
    }

    #[test]
    fn patience_as_long_as_service_is_a_poisson_crowd() {
        // With θ = μ everybody leaves at the same rate, served or not: the number in the system
        // is Poisson(a). For a = 1, n = 1: waits = 1 − 1/e; line = Σ (k−1) p(k) = 1/e.
        let a = traffic(1.0, 1.0, 1).erlang_a(1.0);
        let e = std::f64::consts::E;
        close(a.waits, 1.0 - 1.0 / e, 1e-12);
        close(a.mean_wait, 1.0 / e, 1e-12);
        close(a.leaves, 1.0 / e, 1e-12);
        close(a.occupancy, 1.0 - 1.0 / e, 1e-12);
    }

    #[test]
    fn endless_patience_is_erlang_c() {
        let nine_tenths = traffic(9.0, 1.0, 10);
        let (c, a) = (nine_tenths.erlang_c().unwrap(), nine_tenths.erlang_a(1e9));
        close(a.waits, c.waits, 1e-6);
        close(a.mean_wait, c.mean_wait, 1e-5);
        close(a.leaves, 0.0, 1e-8);
    }

    #[test]
    fn no_patience_is_erlang_b() {
        let traffic = traffic(9.0, 1.0, 10);
        close(traffic.erlang_a(1e-9).leaves, traffic.erlang_b(), 1e-6);
    }

    #[test]
    fn erlang_a_agrees_with_the_chain_summed_state_by_state() {
        // Mandelbaum and Zeltyn, section 3: the number in the system is born at λ and dies at
        // min(k, n) μ + (k − n)⁺ θ. Summed from the empty system on, without Erlang B.
        let centre = traffic(48.0, 1.0, 50);
        let patience = 2.0;
        let (mut weight, mut all, mut line, mut busy, mut full) = (1.0, 1.0, 0.0, 0.0, 0.0);
        for k in 1..2_000 {
            let serving = f64::from(k.min(50));
            let waiting = f64::from((k - 50).max(0));
            weight *= 48.0 / (serving + waiting / patience);
            all += weight;
            line += waiting * weight;
            busy += serving * weight;
            full += if k >= 50 { weight } else { 0.0 };
        }
        let a = centre.erlang_a(patience);
        close(a.waits, full / all, 1e-9);
        close(a.mean_wait, line / all / 48.0, 1e-9);
        close(a.leaves, line / all / patience / 48.0, 1e-9);
        close(a.occupancy, busy / all / 50.0, 1e-9);
        // What abandonment changes here, by the same sum: 20.8 s of waiting become 3.7 s when
        // 3.1 % leave.
        close(60.0 * centre.erlang_c().unwrap().mean_wait, 20.8, 0.05);
        close(60.0 * a.mean_wait, 3.7, 0.05);
        close(a.leaves, 0.031, 0.0005);
    }

    #[test]
    fn an_overloaded_line_loses_what_it_cannot_serve() {
        // Fluid limit: at twice the load of many servers, half must leave.
        let a = traffic(400.0, 1.0, 200).erlang_a(1.0);
        close(a.leaves, 0.5, 1e-6);
        close(a.occupancy, 1.0, 1e-6);
    }
}
