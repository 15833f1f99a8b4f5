//! The table of precision and recall, in Markdown.

use oncekey::audit::Verdict;
use oncekey::audit::synth::Score;

pub(crate) fn print(score: &Score) {
    println!("| verdict | truly | given | precision | recall |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for verdict in Verdict::ALL {
        let (truly, given) = (score.truths(verdict), score.verdicts(verdict));
        if verdict == Verdict::Unclear {
            println!("| {verdict} | | {given} | | |");
            continue;
        }
        println!(
            "| {verdict} | {truly} | {given} | {:.4} | {:.4} |",
            score.precision(verdict),
            score.recall(verdict)
        );
    }
}
