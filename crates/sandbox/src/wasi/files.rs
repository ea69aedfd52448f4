//! Everything that takes a path, so that the log names what was refused.
//!
//! What may be done is decided by WASI's own implementation, which stays inside the granted
//! directories whatever the path (cap-std). This only looks at its answers.

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::WasiFilesystemView;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, HostDescriptor, NewTimestamp, OpenFlags, PathFlags,
};

use crate::refusals::Refusals;
use crate::state::State;

/// The interface in the version that this version of wasmtime links; tests call it by this name.
const FILESYSTEM: &str = "wasi:filesystem/types@0.2.12";

/// The most characters that are told of one path, which is of any length up to what one call may copy.
const PATH_CHARS_MAX: usize = 200;

/// Puts a function in place of WASI's own that does the same with the same arguments, and tells what
/// was refused with which of its paths.
macro_rules! tell {
    ($linker:ident, $name:literal, $what:literal with $($path:ident),+:
        $method:ident($($argument:ident: $type:ty),+)) => {
        $linker.func_wrap_async(
            concat!("[method]descriptor.", $name),
            |mut store: StoreContextMut<'_, State>,
             (directory, $($argument),+): (Resource<Descriptor>, $($type),+)| {
                Box::new(async move {
                    let state = store.data_mut();
                    let told = [$(shortened(&$path)),+];
                    let done = state.filesystem().$method(directory, $($argument),+).await;
                    Ok((answered(done, &state.refusals, $what, &told)?,))
                })
            },
        )?;
    };
}

/// Puts all of them in place of WASI's own.
pub(super) fn add_paths_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type Directory = Resource<Descriptor>;
    let mut files = linker.instance(FILESYSTEM)?;
    tell!(files, "open-at", "open" with path:
        open_at(how: PathFlags, path: String, open: OpenFlags, flags: DescriptorFlags));
    tell!(files, "stat-at", "look at" with path: stat_at(how: PathFlags, path: String));
    tell!(files, "metadata-hash-at", "look at" with path:
        metadata_hash_at(how: PathFlags, path: String));
    tell!(files, "readlink-at", "read the link" with path: readlink_at(path: String));
    tell!(files, "set-times-at", "set the times of" with path:
        set_times_at(how: PathFlags, path: String, read: NewTimestamp, written: NewTimestamp));
    tell!(files, "create-directory-at", "make the directory" with path:
        create_directory_at(path: String));
    tell!(files, "remove-directory-at", "remove the directory" with path:
        remove_directory_at(path: String));
    tell!(files, "unlink-file-at", "remove" with path: unlink_file_at(path: String));
    tell!(files, "rename-at", "rename" with from, to:
        rename_at(from: String, into: Directory, to: String));
    tell!(files, "link-at", "link" with from, to:
        link_at(how: PathFlags, from: String, into: Directory, to: String));
    tell!(files, "symlink-at", "make the symbolic link" with path, target:
        symlink_at(target: String, path: String));
    Ok(())
}

fn shortened(path: &str) -> String {
    path.chars().take(PATH_CHARS_MAX).collect()
}

/// What the handler gets. That it is not allowed, and neither missing nor of the wrong kind, is noted.
fn answered<T>(
    done: FsResult<T>,
    refusals: &Refusals,
    what: &'static str,
    paths: &[String],
) -> wasmtime::Result<Result<T, ErrorCode>> {
    let code = match done {
        Ok(done) => return Ok(Ok(done)),
        Err(error) => error.downcast()?,
    };
    if matches!(code, ErrorCode::NotPermitted | ErrorCode::Access | ErrorCode::ReadOnly) {
        let quoted: Vec<String> = paths.iter().map(|path| format!("{path:?}")).collect();
        refusals.note(what, quoted.join(" to "));
    }
    Ok(Err(code))
}
