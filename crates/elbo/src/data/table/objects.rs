//! Labels and identifiers in arrays of Python objects, as pandas and lists of unequal texts make them.
//!
//! NumPy writes such an array as a pickle, a program for a small stack machine. Python's can call any function. This one
//! knows the twenty-odd instructions that NumPy writes for texts, numbers and missing values, and of functions only the
//! five that make an array, its type, a scalar of it and bytes. Whatever else is asked for ends the reading, by its name.
//! Values lie in one list and refer to each other by their places, so that no nesting can exhaust the stack, and there
//! are at most [`PER_ITEM`] of them for each item.
//!
//! Sources: PEP 307 and PEP 3154 (pickle protocols 2 and 4), Python's `pickletools`, NumPy's `numpy.lib.format`.

use std::collections::HashMap;

use super::dtype::{Dtype, Kind};
use crate::text::{cut, one_line};

/// Values that an item may take: a scalar of NumPy comes with its bytes and a pair.
const PER_ITEM: usize = 8;
/// Values for the array itself and for types.
const EXTRA: usize = 4096;

/// The texts of `count` objects; none where one is missing.
///
/// # Errors
/// What was found instead, in words.
pub(super) fn texts(pickle: &[u8], count: usize) -> Result<Vec<Option<String>>, String> {
    let most = count.saturating_mul(PER_ITEM).saturating_add(EXTRA);
    let mut machine =
        Machine { rest: pickle, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), most };
    let items = machine.run()?;
    if items.len() != count {
        return Err(format!("a pickle of {} objects where its header says {count}", items.len()));
    }
    items.into_iter().map(|item| machine.text(item)).collect()
}

fn damaged() -> String {
    "Python objects in a pickle that is cut short or none of NumPy's".into()
}

/// What a file calls something, fit to be shown.
fn shown(name: &str) -> String {
    cut(&one_line(name), 40).into_owned()
}

#[derive(Debug, Clone)]
enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<usize>),
    List(Vec<usize>),
    Function(Function),
    /// NumPy's name of a type without its byte order, and the type once that is known.
    Dtype(String, Option<Dtype>),
    /// The place of its list, once it is known.
    Array(Option<usize>),
}

/// What may be called.
#[derive(Debug, Clone, Copy)]
enum Function {
    Reconstruct,
    Ndarray,
    Dtype,
    Scalar,
    /// How protocol 2 writes bytes: `encode(text, "latin1")`.
    Encode,
}

impl Function {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::Reconstruct,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Scalar,
            ("numpy", "ndarray") => Self::Ndarray,
            ("numpy", "dtype") => Self::Dtype,
            ("_codecs", "encode") => Self::Encode,
            _ => return None,
        })
    }
}

struct Machine<'a> {
    rest: &'a [u8],
    values: Vec<Value>,
    /// Places in `values`.
    stack: Vec<usize>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, usize>,
    /// Values and items of the stack at most.
    most: usize,
}

impl<'a> Machine<'a> {
    /// Runs to the end; the places of the array's items.
    fn run(&mut self) -> Result<Vec<usize>, String> {
        loop {
            let code = self.take(1)?[0];
            if code == b'.' {
                break;
            }
            self.step(code)?;
            if self.values.len().max(self.stack.len()).max(self.memo.len()).max(self.marks.len()) > self.most {
                return Err("a pickle of far more objects than its header says".into());
            }
        }
        let array = self.pop()?;
        match self.values[array] {
            Value::Array(Some(list)) => match &self.values[list] {
                Value::List(items) => Ok(items.clone()),
                _ => Err(damaged()),
            },
            _ => Err("a pickle that is no array".into()),
        }
    }

    fn step(&mut self, code: u8) -> Result<(), String> {
        match code {
            // Protocol and frames say nothing that is needed.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool(code == 0x88)),
            b'K' | b'M' | b'J' | 0x8a | b'G' => self.number(code)?,
            0x8c | b'X' | 0x8d | b'C' | b'B' | 0x8e | b'U' | b'T' => self.string(code)?,
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85..=0x87 => {
                let items = self.popped(usize::from(code - 0x84))?;
                self.push(Value::Tuple(items));
            }
            b't' => {
                let items = self.marked()?;
                self.push(Value::Tuple(items));
            }
            b'a' | b'e' => self.append(code)?,
            0x94 | b'q' | b'r' | b'h' | b'j' => self.remember(code)?,
            b'c' | 0x93 => self.function(code)?,
            b'R' => self.call()?,
            b'b' => self.build()?,
            other => {
                return Err(format!("Python objects that are no texts and numbers (pickle instruction 0x{other:02x})"));
            }
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(damaged)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A number of so many bytes, little-endian.
    fn unsigned(&mut self, bytes: usize) -> Result<u64, String> {
        let mut word = [0; 8];
        word[..bytes].copy_from_slice(self.take(bytes)?);
        Ok(u64::from_le_bytes(word))
    }

    fn push(&mut self, value: Value) {
        self.stack.push(self.values.len());
        self.values.push(value);
    }

    fn pop(&mut self) -> Result<usize, String> {
        self.stack.pop().ok_or_else(damaged)
    }

    /// The last items of the stack, taken from it.
    fn popped(&mut self, count: usize) -> Result<Vec<usize>, String> {
        let from = self.stack.len().checked_sub(count).ok_or_else(damaged)?;
        Ok(self.stack.split_off(from))
    }

    /// What was pushed since the last mark.
    fn marked(&mut self) -> Result<Vec<usize>, String> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len()).ok_or_else(damaged)?;
        Ok(self.stack.split_off(mark))
    }

    fn number(&mut self, code: u8) -> Result<(), String> {
        let value = match code {
            b'K' => Value::Int(self.unsigned(1)?.into()),
            b'M' => Value::Int(self.unsigned(2)?.into()),
            b'J' => Value::Int((self.unsigned(4)? as u32 as i32).into()),
            b'G' => Value::Float(f64::from_bits(self.unsigned(8)?.swap_bytes())),
            _ => {
                let length = self.unsigned(1)? as usize;
                let digits = self.take(length)?;
                let fill = if digits.last().is_some_and(|last| last >> 7 == 1) { 0xff } else { 0 };
                let mut word = [fill; 16];
                let place = word.get_mut(..length).ok_or("a whole number of more than 128 bits")?;
                place.copy_from_slice(digits);
                Value::Int(i128::from_le_bytes(word))
            }
        };
        self.push(value);
        Ok(())
    }

    /// A text, or bytes, which Python 2 has for text.
    fn string(&mut self, code: u8) -> Result<(), String> {
        let wide = match code {
            0x8c | b'C' | b'U' => 1,
            b'X' | b'B' | b'T' => 4,
            _ => 8,
        };
        let length = usize::try_from(self.unsigned(wide)?).map_err(|_| damaged())?;
        let bytes = self.take(length)?.to_vec();
        self.push(match code {
            0x8c | b'X' | 0x8d => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
            _ => Value::Bytes(bytes),
        });
        Ok(())
    }

    fn append(&mut self, code: u8) -> Result<(), String> {
        let items = if code == b'a' { self.popped(1)? } else { self.marked()? };
        let list = *self.stack.last().ok_or_else(damaged)?;
        match &mut self.values[list] {
            Value::List(all) if all.len() + items.len() <= self.most => all.extend(items),
            _ => return Err(damaged()),
        }
        Ok(())
    }

    /// Puts the last item of the stack into the memo, or takes one from it.
    fn remember(&mut self, code: u8) -> Result<(), String> {
        let key = match code {
            0x94 => self.memo.len() as u32,
            b'q' | b'h' => self.unsigned(1)? as u32,
            _ => self.unsigned(4)? as u32,
        };
        match code {
            b'h' | b'j' => self.stack.push(*self.memo.get(&key).ok_or_else(damaged)?),
            _ => drop(self.memo.insert(key, *self.stack.last().ok_or_else(damaged)?)),
        }
        Ok(())
    }

    fn function(&mut self, code: u8) -> Result<(), String> {
        let [module, name] = match code {
            b'c' => [self.line()?, self.line()?],
            _ => {
                let [module, name] = self.popped(2)?[..] else { return Err(damaged()) };
                [module, name].map(|place| match &self.values[place] {
                    Value::Text(text) => text.clone(),
                    _ => String::new(),
                })
            }
        };
        let function = Function::named(&module, &name);
        let function = function.ok_or_else(|| {
            format!("Python objects of `{}.{}`, which are no texts and numbers", shown(&module), shown(&name))
        })?;
        self.push(Value::Function(function));
        Ok(())
    }

    /// The rest of a line.
    fn line(&mut self) -> Result<String, String> {
        let length = self.rest.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
        let line = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(line)
    }

    /// Calls a function with a tuple of arguments.
    fn call(&mut self) -> Result<(), String> {
        let [function, arguments] = self.popped(2)?[..] else { return Err(damaged()) };
        let (Value::Function(function), Value::Tuple(arguments)) = (&self.values[function], &self.values[arguments])
        else {
            return Err(damaged());
        };
        let argument = |place: usize| arguments.get(place).map(|&value| &self.values[value]);
        let made = match (function, argument(0), argument(1)) {
            (Function::Reconstruct, Some(Value::Function(Function::Ndarray)), _) => Value::Array(None),
            (Function::Dtype, Some(Value::Text(name)), _) => Value::Dtype(name.clone(), None),
            (Function::Encode, Some(Value::Text(text)), _) => {
                Value::Bytes(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect())
            }
            (Function::Scalar, Some(Value::Dtype(_, Some(dtype))), Some(Value::Bytes(bytes))) => scalar(*dtype, bytes)?,
            (Function::Scalar, Some(Value::Dtype(name, None)), _) => {
                return Err(format!("scalars of type `{}`", shown(name)));
            }
            _ => return Err(damaged()),
        };
        self.push(made);
        Ok(())
    }

    /// Gives an array or a type its state.
    fn build(&mut self) -> Result<(), String> {
        let state = self.pop()?;
        let object = *self.stack.last().ok_or_else(damaged)?;
        let Value::Tuple(state) = &self.values[state] else { return Err(damaged()) };
        let part = |place: usize| state.get(place).copied();
        let built = match &self.values[object] {
            // Version, shape, type, order, items.
            Value::Array(None) => Value::Array(part(4)),
            // Version, byte order, and what follows from the name.
            Value::Dtype(name, None) => match part(1).map(|place| &self.values[place]) {
                Some(Value::Text(order)) => Value::Dtype(name.clone(), Dtype::parse(&format!("{order}{name}"))),
                _ => return Err(damaged()),
            },
            _ => return Err(damaged()),
        };
        self.values[object] = built;
        Ok(())
    }

    /// An item as text; none if it is missing, as `None`, NaN and the empty text say.
    fn text(&self, item: usize) -> Result<Option<String>, String> {
        let text = match &self.values[item] {
            Value::None => return Ok(None),
            Value::Float(value) if value.is_nan() => return Ok(None),
            Value::Float(value) if value.fract() != 0.0 => return Err(format!("the value {value}")),
            Value::Float(value) => value.to_string(),
            Value::Bool(value) => u8::from(*value).to_string(),
            Value::Int(value) => value.to_string(),
            Value::Text(text) => text.trim().to_owned(),
            Value::Bytes(bytes) => String::from_utf8_lossy(bytes).trim().to_owned(),
            _ => return Err("Python objects that are no texts and numbers".into()),
        };
        Ok(Some(text).filter(|text| !text.is_empty()))
    }
}

/// A scalar of NumPy from its bytes.
fn scalar(dtype: Dtype, bytes: &[u8]) -> Result<Value, String> {
    if bytes.len() != dtype.size || dtype.kind == Kind::Object {
        return Err(damaged());
    }
    Ok(match dtype.kind {
        Kind::Float => Value::Float(dtype.decode(bytes)),
        Kind::Bool => Value::Bool(bytes[0] != 0),
        _ => Value::Text(dtype.text(bytes)),
    })
}
