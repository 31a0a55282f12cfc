//! `vakt-camera`: the process that takes cameras' streams apart, started by systemd when the hub first asks and gone when
//! nobody has asked for a while. It holds no key and no password of the hub's, and reads none of its files.

mod io;

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use vaktd::cli::commands::Exit;
use vaktd::hub::io::notify::tell;

/// Takes cameras' streams apart, in a process of its own. It is started by vakt-camera.socket.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Ends after so many seconds without a connection
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    idle: u64,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { Exit::Usage } else { Exit::Ok } as u8);
        }
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).without_time().init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, error)) => {
            tracing::error!("{error}");
            ExitCode::from(exit as u8)
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), (Exit, String)> {
    let listener = io::given().map_err(|error| {
        (Exit::Usage, format!("standard input is no socket to listen at ({error}): let vakt-camera.socket start this"))
    })?;
    io::hide().map_err(|error| (Exit::Internal, format!("hide this process's memory: {error}")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| (Exit::Internal, format!("start the runtime: {error}")))?;
    tell("READY", "1");
    let served = runtime.block_on(io::serve(listener, Duration::from_secs(arguments.idle)));
    tell("STOPPING", "1");
    served.map_err(|error| (Exit::Io, format!("serve the socket: {error}")))
}
