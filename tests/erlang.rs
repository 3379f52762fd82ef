//! Erlang's formulas against values worked out by hand.

#[path = "simulation/erlang.rs"]
mod erlang;
