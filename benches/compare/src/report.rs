//! Runs the workloads that were asked for and writes one table for each.

use std::path::Path;

use crate::engines::{self, Mode, Role, Variant};
use crate::lifecycle;
use crate::lookup::{self, Timing};
use crate::meter;
use crate::options::Options;
use crate::runner::{self, Callers, Sample};
use crate::scale;
use crate::table::{Table, count, median, number, ratio};

const CYCLE_COLUMNS: [&str; 9] = [
    "engine",
    "cycles/s",
    "lowest..highest",
    "x floor",
    "x best peer",
    "CPU us/cycle",
    "syncs/cycle",
    "bytes/cycle",
    "others' cores",
];

/// How long the pass under strace runs.
const STRACE_SECONDS: &str = "0.5";

pub struct Report<'a> {
    pub options: &'a Options,
}

impl Report<'_> {
    /// Calls `emit` with each finished table.
    pub fn run(&self, mut emit: impl FnMut(String)) {
        if self.options.wants("durable") {
            for &threads in &self.options.threads {
                let title = format!("Durable claim + complete, {threads} blocking threads");
                emit(self.cycles(&title, Mode::Durable, Callers::Threads(threads)));
            }
        }
        if self.options.wants("tasks") {
            let tasks = self.options.tasks;
            let title = format!("Durable claim + complete, {tasks} tasks on 2 worker threads");
            emit(self.cycles(&title, Mode::Durable, Callers::Tasks(tasks)));
        }
        if self.options.wants("interval") {
            for threads in [1, 8] {
                let title = format!("Synced every 100 ms, {threads} blocking threads");
                emit(self.cycles(&title, Mode::Interval, Callers::Threads(threads)));
            }
        }
        if self.options.wants("lookup") {
            emit(self.lookups());
        }
        if self.options.asks_for("lifecycle") {
            lifecycle::report(self.options).into_iter().for_each(&mut emit);
        }
        if self.options.asks_for("scale") {
            emit(scale::report(self.options));
        }
    }

    fn selected(&self, fits: impl Fn(&Variant) -> bool) -> Vec<Variant> {
        let wanted = |variant: &Variant| self.options.selects(variant.name) && fits(variant);
        engines::all().into_iter().filter(wanted).collect()
    }

    fn cycles(&self, title: &str, mode: Mode, callers: Callers) -> String {
        let Options { rounds, length, dir, .. } = self.options;
        let tasks = matches!(callers, Callers::Tasks(_));
        let variants = self.selected(|v| v.mode == mode && (v.has_tasks || !tasks));
        let samples = runner::measure(&variants, callers, *rounds, *length, dir);
        let rates: Vec<_> = samples.iter().map(|samples| per(samples, rate)).collect();
        let best = |role| {
            let rates = variants.iter().zip(&rates).filter(|(variant, _)| variant.role == role);
            rates.map(|(_, &rate)| rate).max_by(f64::total_cmp)
        };
        let (floor, peer) = (best(Role::Floor), best(Role::Peer));
        let mut table = Table::new(title, &CYCLE_COLUMNS);
        for ((variant, samples), &rate) in variants.iter().zip(&samples).zip(&rates) {
            table.row(vec![
                variant.name.into(),
                count(rate),
                range(samples),
                ratio(rate, floor),
                ratio(rate, peer),
                format!("{:.1}", per(samples, cpu_us)),
                number(self.syncs_a_cycle(variant, samples, callers), 3),
                count(per(samples, bytes)),
                others(samples),
            ]);
        }
        table.render()
    }

    /// By the engine's own count, or else by a run of its own under strace.
    fn syncs_a_cycle(&self, variant: &Variant, runs: &[Sample], callers: Callers) -> Option<f64> {
        if runs.iter().all(|sample| sample.syncs.is_some()) {
            return Some(per(runs, |run| run.syncs.unwrap_or(0) as f64 / run.cycles as f64));
        }
        if !self.options.strace {
            return None;
        }
        let dir = self.options.dir.to_str()?;
        let child_dir = self.options.dir.join("child");
        let (kind, callers) = match callers {
            Callers::Threads(callers) => ("--threads", callers.to_string()),
            Callers::Tasks(callers) => ("--tasks", callers.to_string()),
        };
        let workload = if kind == "--tasks" { "tasks" } else { "durable" };
        let child_dir = child_dir.to_str()?;
        let arguments = ["--child", variant.name, kind, &callers, "--workload", workload];
        let arguments = [&arguments[..], &["--seconds", STRACE_SECONDS, "--dir", child_dir]];
        let (cycles, syncs) = meter::child_syncs(&arguments.concat(), Path::new(dir))?;
        Some(syncs as f64 / cycles as f64)
    }

    fn lookups(&self) -> String {
        let Options { records, asked, dir, .. } = self.options;
        let variants = self.selected(|variant| variant.lookups);
        let timings = lookup::measure(&variants, self.options, dir);
        let floor = |pick: fn(&Timing) -> Option<f64>, name: &str| {
            timings.iter().find(|timing| timing.name == name).and_then(pick)
        };
        let map_ns = floor(|timing| timing.absent_ns, "rawlog committer");
        let pread_ns = floor(|timing| Some(timing.replay_ns), "bare pread");
        let [records, asked] = [records, asked].map(|number| count(*number as f64));
        let title =
            format!("Lookups, {records} records, {asked} of them asked for, warm, one thread");
        let header = ["engine", "absent ns", "x map", "replay ns", "x bare pread"];
        let mut table = Table::new(title, &header);
        for timing in &timings {
            table.row(vec![
                timing.name.clone(),
                number(timing.absent_ns, 0),
                timing.absent_ns.map_or_else(|| "-".into(), |ns| ratio(ns, map_ns)),
                number(Some(timing.replay_ns), 0),
                ratio(timing.replay_ns, pread_ns),
            ]);
        }
        table.render()
    }
}

/// One run for the count of syncs: all the cycles of the process, warm-up included.
pub fn run_child(options: &Options, name: &str) -> Option<u64> {
    let variant = engines::all().into_iter().find(|variant| variant.name == name)?;
    let callers = if options.workloads == ["tasks"] {
        Callers::Tasks(options.tasks)
    } else {
        Callers::Threads(*options.threads.first()?)
    };
    let sample = runner::run_once(&variant, callers, options.length, &options.dir);
    Some(sample.total)
}

fn per(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    median(samples.iter().map(value).collect())
}

/// The slowest and the fastest round.
fn range(samples: &[Sample]) -> String {
    let rates = samples.iter().map(rate);
    let lowest = rates.clone().fold(f64::INFINITY, f64::min);
    format!("{}..{}", count(lowest), count(rates.fold(0.0, f64::max)))
}

/// The worst round's cores busy with other work, marked if it was disturbed.
fn others(samples: &[Sample]) -> String {
    let worst = samples.iter().map(|sample| sample.spent.others_cores).fold(0.0, f64::max);
    format!("{worst:.2}{}", if worst > runner::DISTURBED_CORES { " (!)" } else { "" })
}

fn rate(sample: &Sample) -> f64 {
    sample.cycles as f64 / sample.spent.seconds
}

fn cpu_us(sample: &Sample) -> f64 {
    sample.spent.cpu_seconds * 1e6 / sample.cycles as f64
}

fn bytes(sample: &Sample) -> f64 {
    sample.spent.written_bytes as f64 / sample.cycles as f64
}
