//! Opening files, so that the log names what was refused.
//!
//! What may be opened is decided by WASI's own implementation, which stays inside the granted
//! directories whatever the path (cap-std). This only looks at its answer.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::WasiFilesystemView;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};

use crate::state::State;

/// The interface in the version that this version of wasmtime links; a test opens a file through it.
const FILESYSTEM: &str = "wasi:filesystem/types@0.2.12";

/// What `open-at` takes.
type OpenAt = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);

/// What it answers.
type Opened = Result<Resource<Descriptor>, ErrorCode>;

/// Puts `open-at` in place of WASI's own.
pub(super) fn add_open_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.instance(FILESYSTEM)?.func_wrap_async(
        "[method]descriptor.open-at",
        |store: StoreContextMut<'_, State>, arguments: OpenAt| {
            Box::new(async move { open_at(store, arguments).await.map(|opened| (opened,)) })
        },
    )
}

async fn open_at(
    mut store: StoreContextMut<'_, State>,
    (directory, path_flags, path, open_flags, flags): OpenAt,
) -> wasmtime::Result<Opened> {
    let state = store.data_mut();
    let mut files = state.filesystem();
    // The path is of any length up to what one call may copy; what is told of it is short.
    let told: String = path.chars().take(200).collect();
    let opened = files.open_at(directory, path_flags, path, open_flags, flags).await;
    match opened {
        Ok(file) => Ok(Ok(file)),
        Err(error) => {
            let code = error.downcast()?;
            if matches!(code, ErrorCode::NotPermitted | ErrorCode::Access | ErrorCode::ReadOnly) {
                state.refusals.note("open", format_args!("{told:?}"));
            }
            Ok(Err(code))
        }
    }
}
