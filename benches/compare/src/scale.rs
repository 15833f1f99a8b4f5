//! What a fresh claim costs with few keys in the store, and with many.

use std::fs;

use crate::engines::{self, Mode, Role, Variant};
use crate::foreground::Latency;
use crate::meter;
use crate::options::Options;
use crate::table::{Table, count, ratio};
use crate::workload::Request;

/// Claims that are timed at each size.
const CLAIMS: u64 = 20_000;
const LOADED_STREAM: u64 = 0;
/// The first stream of the claims.
const FIRST_STREAM: u64 = 1;

/// Runs every selected engine, each caller for itself, and answers a table.
pub fn report(options: &Options) -> String {
    let alone = |variant: &Variant| {
        let is_alone = !["group", "thread", "steady"].iter().any(|end| variant.name.ends_with(end));
        is_alone && !matches!(variant.role, Role::Floor | Role::WeakPeer)
    };
    let fits = |variant: &Variant| variant.mode == Mode::Durable && alone(variant);
    let wanted = |variant: &Variant| options.selects(variant.name) && fits(variant);
    let sizes = [options.records, options.records * 10];
    let [few, many] = sizes.map(|size| count(size as f64));
    let title = format!("A fresh claim with {few} and with {many} keys, microseconds, one thread");
    let header = ["engine", "p50 few", "p50 many", "x", "p99 few", "p99 many", "x"];
    let mut table = Table::new(title, &header);
    for variant in engines::all().into_iter().filter(wanted) {
        eprint!("\rclaims of {:<40}", variant.name);
        let [few, many] = measure(&variant, sizes, options);
        table.row(vec![
            variant.name.into(),
            format!("{:.1}", few.p50),
            format!("{:.1}", many.p50),
            ratio(many.p50, Some(few.p50)),
            format!("{:.1}", few.p99),
            format!("{:.1}", many.p99),
            ratio(many.p99, Some(few.p99)),
        ]);
    }
    eprint!("\r{:<60}\r", "");
    table.render()
}

fn measure(variant: &Variant, sizes: [u64; 2], options: &Options) -> [Latency; 2] {
    let dir = options.dir.join("scale");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("create the directory");
    let engine = (variant.open)(&dir);
    let mut loaded = 0;
    let mut stream = FIRST_STREAM;
    let latencies = sizes.map(|size| {
        engine.load(&mut (loaded..size).map(|number| Request::nth(LOADED_STREAM, number)));
        loaded = size;
        meter::settle(&dir);
        let claims = (0..CLAIMS).map(|number| engine.timed_claim(&Request::nth(stream, number)));
        let latency = Latency::of(claims.collect());
        stream += 1;
        latency
    });
    drop(engine);
    fs::remove_dir_all(&dir).expect("remove the directory");
    latencies
}
