//! `corten check`.

use std::process::ExitCode;

use anyhow::Result;
use corten_host::Verdict;

use crate::command::print;

pub(crate) fn run() -> Result<ExitCode> {
    let mut usable = true;
    for finding in corten_host::check() {
        let (need, found) = (finding.need, &finding.found);
        match finding.verdict {
            Verdict::Met => print(&format!("ok       {need}: {found}")),
            Verdict::Limited { consequence, fix } => {
                print(&format!("limited  {need}: {found}; without it {consequence}; {fix}"));
            }
            Verdict::Missing { fix } => {
                usable = false;
                print(&format!("missing  {need}: {found}; {fix}"));
            }
        }
    }
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
