//! The binary `lianxin`: starts logging, hands over to the command line, exits with its code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lianxin_node::cli::main())
}
