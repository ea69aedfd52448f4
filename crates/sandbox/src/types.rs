//! Component types as WIT writes them, for people.
//!
//! Types are spelled out, since a component carries no names for them. The parser of wasmtime
//! bounds their depth and size, so hostile components cannot make this run away.

use std::fmt::{self, Display, Write};

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};

/// `func(event: string) -> result<option<string>, string>`, for any function.
pub(crate) fn function(func: &ComponentFunc) -> String {
    spelled(func, &join(func.params().map(|(name, ty)| format!("{name}: {}", Wit(&ty)))))
}

/// The same without the names of the parameters, which do not matter to whoever calls it.
pub(crate) fn signature(func: &ComponentFunc) -> String {
    spelled(func, &join(func.params().map(|(_, ty)| Wit(&ty).to_string())))
}

fn spelled(func: &ComponentFunc, params: &str) -> String {
    let mut text = format!("func({params})");
    let results: Vec<Type> = func.results().collect();
    match results.as_slice() {
        [] => {}
        [result] => text += &format!(" -> {}", Wit(result)),
        several => text += &format!(" -> ({})", join(several.iter().map(Wit))),
    }
    if func.async_() { format!("async {text}") } else { text }
}

/// What kind of thing an import or export is; a function's type is spelled out.
pub(crate) fn item(item: &ComponentItem) -> String {
    match item {
        ComponentItem::ComponentFunc(func) => function(func),
        ComponentItem::ComponentInstance(_) => "interface".to_owned(),
        ComponentItem::Resource(_) => "resource".to_owned(),
        ComponentItem::Type(ty) => format!("type {}", Wit(ty)),
        ComponentItem::Component(_) => "component".to_owned(),
        ComponentItem::Module(_) => "core module".to_owned(),
        ComponentItem::CoreFunc(_) => "core function".to_owned(),
    }
}

/// A type in WIT's spelling.
struct Wit<'a>(&'a Type);

impl Display for Wit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Type::Bool => f.write_str("bool"),
            Type::S8 => f.write_str("s8"),
            Type::U8 => f.write_str("u8"),
            Type::S16 => f.write_str("s16"),
            Type::U16 => f.write_str("u16"),
            Type::S32 => f.write_str("s32"),
            Type::U32 => f.write_str("u32"),
            Type::S64 => f.write_str("s64"),
            Type::U64 => f.write_str("u64"),
            Type::Float32 => f.write_str("f32"),
            Type::Float64 => f.write_str("f64"),
            Type::Char => f.write_str("char"),
            Type::String => f.write_str("string"),
            Type::ErrorContext => f.write_str("error-context"),
            Type::List(list) => write!(f, "list<{}>", Wit(&list.ty())),
            Type::FixedLengthList(list) => write!(f, "list<{}, {}>", Wit(&list.ty()), list.len()),
            Type::Map(map) => write!(f, "map<{}, {}>", Wit(&map.key()), Wit(&map.value())),
            Type::Option(option) => write!(f, "option<{}>", Wit(&option.ty())),
            Type::Tuple(tuple) => {
                write!(f, "tuple<{}>", join(tuple.types().map(|ty| Wit(&ty).to_string())))
            }
            Type::Result(result) => match (result.ok(), result.err()) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{}>", Wit(&ok)),
                (None, Some(err)) => write!(f, "result<_, {}>", Wit(&err)),
                (Some(ok), Some(err)) => write!(f, "result<{}, {}>", Wit(&ok), Wit(&err)),
            },
            Type::Record(record) => {
                let fields =
                    record.fields().map(|field| format!("{}: {}", field.name, Wit(&field.ty)));
                write!(f, "record {{ {} }}", join(fields))
            }
            Type::Variant(variant) => {
                let cases = variant
                    .cases()
                    .map(|case| format!("{}{}", case.name, payload(case.ty, '(', ')')));
                write!(f, "variant {{ {} }}", join(cases))
            }
            Type::Enum(cases) => write!(f, "enum {{ {} }}", join(cases.names())),
            Type::Flags(flags) => write!(f, "flags {{ {} }}", join(flags.names())),
            Type::Own(_) => f.write_str("resource"),
            Type::Borrow(_) => f.write_str("borrow<resource>"),
            Type::Future(future) => write!(f, "future{}", payload(future.ty(), '<', '>')),
            Type::Stream(stream) => write!(f, "stream{}", payload(stream.ty(), '<', '>')),
        }
    }
}

/// A type in brackets, or nothing.
fn payload(ty: Option<Type>, open: char, close: char) -> String {
    ty.map(|ty| format!("{open}{}{close}", Wit(&ty))).unwrap_or_default()
}

fn join(parts: impl Iterator<Item = impl Display>) -> String {
    let mut text = String::new();
    for part in parts {
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Writing to a string cannot fail.
        write!(text, "{part}").unwrap_or_default();
    }
    text
}
