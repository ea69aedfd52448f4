//! Component types as WIT writes them, for people.
//!
//! Types are spelled out, since a component carries no names for them. The parser of wasmtime bounds
//! their depth and the number of their parts, but not the length of the names in them, which a small file
//! can repeat without end; so what is spelled is cut while it is written.

use std::fmt::{self, Display};

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};

use crate::bounded::{list, told};

/// `func(event: string) -> result<option<string>, string>`, for any function.
pub(crate) fn function(func: &ComponentFunc) -> String {
    told(Signature { func, has_names: true })
}

/// The same without the names of the parameters, which do not matter to whoever calls it.
pub(crate) fn signature(func: &ComponentFunc) -> String {
    told(Signature { func, has_names: false })
}

struct Signature<'a> {
    func: &'a ComponentFunc,
    has_names: bool,
}

impl Display for Signature<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { func, has_names } = self;
        f.write_str(if func.async_() { "async func(" } else { "func(" })?;
        list(f, func.params(), |f, (name, ty)| {
            if *has_names {
                write!(f, "{name}: ")?;
            }
            Wit(&ty).fmt(f)
        })?;
        f.write_str(")")?;
        let results: Vec<Type> = func.results().collect();
        match results.as_slice() {
            [] => Ok(()),
            [result] => write!(f, " -> {}", Wit(result)),
            several => {
                f.write_str(" -> (")?;
                list(f, several, |f, ty| Wit(ty).fmt(f))?;
                f.write_str(")")
            }
        }
    }
}

/// What kind of thing an import or export is; a function's type is spelled out.
pub(crate) fn item(item: &ComponentItem) -> String {
    match item {
        ComponentItem::ComponentFunc(func) => function(func),
        ComponentItem::ComponentInstance(_) => "interface".to_owned(),
        ComponentItem::Resource(_) => "resource".to_owned(),
        ComponentItem::Type(ty) => told(format_args!("type {}", Wit(ty))),
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
                f.write_str("tuple<")?;
                list(f, tuple.types(), |f, ty| Wit(&ty).fmt(f))?;
                f.write_str(">")
            }
            Type::Result(result) => match (result.ok(), result.err()) {
                (None, None) => f.write_str("result"),
                (Some(ok), None) => write!(f, "result<{}>", Wit(&ok)),
                (None, Some(err)) => write!(f, "result<_, {}>", Wit(&err)),
                (Some(ok), Some(err)) => write!(f, "result<{}, {}>", Wit(&ok), Wit(&err)),
            },
            Type::Record(record) => {
                f.write_str("record { ")?;
                list(f, record.fields(), |f, field| {
                    write!(f, "{}: {}", field.name, Wit(&field.ty))
                })?;
                f.write_str(" }")
            }
            Type::Variant(variant) => {
                f.write_str("variant { ")?;
                list(f, variant.cases(), |f, case| {
                    f.write_str(case.name)?;
                    payload(f, case.ty.as_ref(), "(", ")")
                })?;
                f.write_str(" }")
            }
            Type::Enum(cases) => named(f, "enum", cases.names()),
            Type::Flags(flags) => named(f, "flags", flags.names()),
            Type::Own(_) => f.write_str("resource"),
            Type::Borrow(_) => f.write_str("borrow<resource>"),
            Type::Future(future) => {
                f.write_str("future")?;
                payload(f, future.ty().as_ref(), "<", ">")
            }
            Type::Stream(stream) => {
                f.write_str("stream")?;
                payload(f, stream.ty().as_ref(), "<", ">")
            }
        }
    }
}

/// A type in brackets, or nothing.
fn payload(f: &mut fmt::Formatter<'_>, ty: Option<&Type>, open: &str, close: &str) -> fmt::Result {
    ty.map_or(Ok(()), |ty| write!(f, "{open}{}{close}", Wit(ty)))
}

fn named<'n>(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    names: impl Iterator<Item = &'n str>,
) -> fmt::Result {
    write!(f, "{kind} {{ ")?;
    list(f, names, |f, name| name.fmt(f))?;
    f.write_str(" }")
}
