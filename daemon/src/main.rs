//! `vaktd`: arguments, then the command line's work. It holds nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(vaktd::cli::commands::main(std::env::args_os()) as u8)
}
