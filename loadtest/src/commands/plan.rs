//! `loadtest plan`: what is going to happen, before anything does.

use clap::Args;
use loadtest::predict::predict;
use loadtest::report::{Column, summary, table};

use super::traffic::TrafficArguments;

/// The options of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    traffic: TrafficArguments,
}

impl PlanArguments {
    /// Prints the plan, the recorded day and the prediction.
    pub fn run(&self) -> anyhow::Result<()> {
        let traffic = self.traffic.load()?;
        let prediction = predict(&traffic.plan);
        let mut columns = Vec::new();
        if let Some(recorded) = &traffic.plan.recorded {
            columns.push(Column { title: "recorded", figures: recorded });
        }
        columns.push(Column { title: "ideal router", figures: &prediction.figures });
        println!("{}", traffic.title);
        println!("{}", summary(&traffic.plan, traffic.hours.from_s(), traffic.speed));
        print!("{}", table(&columns, traffic.speed));
        Ok(())
    }
}
