//! Compares the store with the floor a raw log sets and with other embedded stores: ratios within
//! one run, medians over interleaved rounds. The rivals are compiled by those who bench only.

mod engines;
mod facts;
mod foreground;
mod group;
mod lifecycle;
mod lookup;
mod meter;
mod options;
mod report;
mod runner;
mod scale;
mod table;
mod ticket;
mod workload;

use std::fs;
use std::process::ExitCode;

use options::{HELP, Options};
use report::Report;

fn main() -> ExitCode {
    let options = match Options::parse() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("error: {error}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    if options.help {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if let Some(name) = &options.child {
        let Some(cycles) = report::run_child(&options, name) else {
            eprintln!("error: no engine is called {name:?}");
            return ExitCode::from(2);
        };
        println!("{cycles}");
        return ExitCode::SUCCESS;
    }
    run(&options);
    ExitCode::SUCCESS
}

fn run(options: &Options) {
    fs::create_dir_all(&options.dir).expect("create the bench directory");
    let mut report = facts::describe(&options.dir) + "\n";
    print!("{report}");
    Report { options }.run(|table| {
        print!("\n{table}");
        report.push('\n');
        report.push_str(&table);
    });
    if let Some(path) = &options.out {
        fs::write(path, report).expect("write the report");
    }
    fs::remove_dir_all(&options.dir).expect("remove the bench directory");
}
