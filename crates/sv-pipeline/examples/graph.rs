//! A source, a stage and two sinks, each on a thread of its own.

use sv_core::{Item, Source, Stage, TrackId};
use sv_pipeline::Cancel;
use sv_pipeline::graph::Graph;

struct Numbers(u32);

impl Source for Numbers {
    type Error = std::io::Error;
    fn next_item(&mut self) -> std::io::Result<Option<Item>> {
        self.0 += 1;
        Ok((self.0 <= 10).then_some(Item::End(TrackId(self.0))))
    }
}

/// Lets every other item through.
#[derive(Default)]
struct Halve(Option<Item>, bool);

impl Stage for Halve {
    type Error = std::io::Error;
    fn push(&mut self, item: Item) -> std::io::Result<()> {
        self.1 = !self.1;
        self.0 = self.1.then_some(item);
        Ok(())
    }
    fn pull(&mut self) -> std::io::Result<Option<Item>> {
        Ok(self.0.take())
    }
    fn finish(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn main() {
    let mut graph = Graph::<std::io::Error>::new(1 << 20, &Cancel::default());
    let numbers = graph.source("numbers", Numbers(0));
    let half = graph.stage("halve", numbers, None, Halve::default());
    graph.sink("all", numbers, None, |item| {
        println!("all:  {:?}", item.track());
        Ok(())
    });
    graph.sink("half", half, None, |item| {
        println!("half: {:?}", item.track());
        Ok(())
    });
    if let Err(failure) = graph.run() {
        eprintln!("the run failed: {failure:?}");
    }
}
