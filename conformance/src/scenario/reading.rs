//! Parses a scenario file. Unknown keys and operations make it invalid.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Value, json};

use super::fields::{Complaint, Fields};
use super::operation::{
    check_properties, default_target, read_listen, read_operations, read_target,
};
use super::{
    Call, ClientSpec, Condition, Delayed, GateSpec, Operation, Reading, Scenario, Script,
    ServerSpec, SocketSpec, format,
};

/// The time limit of a run in milliseconds, unless the scenario sets another one.
const LIMIT_MS: f64 = 3000.0;

impl Scenario {
    pub(crate) fn load(file: &Path) -> Result<Self, Complaint> {
        let text = std::fs::read_to_string(file).map_err(|e| Complaint::new(e.to_string()))?;
        Self::of_text(&text)
    }

    pub(crate) fn of_text(text: &str) -> Result<Self, Complaint> {
        let value = serde_json::from_str(text).map_err(|e| Complaint::new(e.to_string()))?;
        Self::read(&value, text)
    }

    fn read(value: &Value, text: &str) -> Result<Self, Complaint> {
        let fields = Fields::read(value, &[format::SCENARIO], "scenario")?;
        let servers = fields.list("servers").iter().enumerate();
        let clients = fields.list("clients").iter().enumerate();
        let blackholes = fields.list("blackholes").iter();
        let signals = fields.get("signals").and_then(Value::as_object).into_iter().flatten();
        let files = fields.get("files").and_then(Value::as_object).into_iter().flatten();
        Ok(Self {
            name: fields.text("name").unwrap_or_default().to_owned(),
            limit_ms: fields.number("limit").unwrap_or(LIMIT_MS),
            servers: servers
                .map(|(i, v)| read_server(v, &format!("S{i}")))
                .collect::<Result<_, _>>()?,
            clients: clients
                .map(|(i, v)| read_client(v, &format!("C{i}")))
                .collect::<Result<_, _>>()?,
            gates: fields.list("gates").iter().map(read_gate).collect::<Result<_, _>>()?,
            blackholes: blackholes
                .map(|v| Fields::read(v, &[format::BLACKHOLE], "blackhole"))
                .collect::<Result<_, _>>()?,
            files: files
                .map(|(name, text)| (name.clone(), text.as_str().unwrap_or_default().to_owned()))
                .collect(),
            signals: signals.map(|(name, v)| read_signal(name, v)).collect::<Result<_, _>>()?,
            calls: fields.list("calls").iter().map(read_call).collect::<Result<_, _>>()?,
            port_placeholders: port_placeholders(text),
        })
    }
}

fn read_server(value: &Value, place: &str) -> Result<ServerSpec, Complaint> {
    let fields = Fields::read(value, &[format::SERVER], place)?;
    let listen = match fields.get("listen") {
        Some(Value::Null) => None,
        Some(options) => Some(read_listen(options, place)?),
        None => Some(default_listen()),
    };
    let sockets = fields.list("sockets").iter().enumerate().map(|(index, value)| {
        let place = format!("{place}.{index}");
        read_socket(&Fields::read(value, &[format::SOCKET], &place)?, &place)
    });
    Ok(ServerSpec {
        options: read_options(&fields, format::SERVER_OPTIONS, place)?,
        listen,
        script: Rc::new(read_script(&fields, place)?),
        sockets: sockets.collect::<Result<_, _>>()?,
    })
}

fn default_listen() -> Fields {
    let value = json!({ "host": "127.0.0.1", "port": 0 });
    Fields::read(&value, &[format::LISTEN], "the default").expect("these are known keys")
}

fn read_options(fields: &Fields, keys: format::Keys, place: &str) -> Result<Fields, Complaint> {
    let options = fields.get("options");
    options.map_or(Ok(Fields::default()), |value| {
        Fields::read(value, &[keys], &format!("{place}.options"))
    })
}

fn read_client(value: &Value, place: &str) -> Result<ClientSpec, Complaint> {
    let fields = Fields::read(value, &[format::CLIENT], place)?;
    let is_made_first = match fields.text("create") {
        None | Some("connect") => false,
        Some("new") => true,
        Some(other) => return Err(Complaint::new(format!("unknown create {other:?} in {place}"))),
    };
    let target = match fields.get("to") {
        Some(Value::Null) if is_made_first => None,
        Some(target) => Some(read_target(target, place)?),
        None => Some(default_target()),
    };
    let when = match fields.get("when") {
        None => Some(Vec::new()),
        Some(Value::String(word)) if word == "spawn" => None,
        Some(list) => Some(read_conditions(list, place)?),
    };
    Ok(ClientSpec {
        options: read_options(&fields, format::CLIENT_OPTIONS, place)?,
        is_made_first,
        target,
        when,
        delay_ms: fields.number("delay").unwrap_or(0.0),
        before: read_operations(fields.get("pre"), place)?,
        socket: read_socket(&fields, place)?,
    })
}

fn read_socket(fields: &Fields, place: &str) -> Result<SocketSpec, Complaint> {
    let reading = match fields.text("data") {
        None | Some("merge") => Reading::Merge,
        Some("total") => Reading::Total,
        Some("none") => Reading::None,
        Some("readable") => Reading::Readable,
        Some(other) => return Err(Complaint::new(format!("unknown data {other:?} in {place}"))),
    };
    let script = Rc::new(read_script(fields, place)?);
    Ok(SocketSpec { reading, script, also: fields.texts("also") })
}

fn read_script(fields: &Fields, place: &str) -> Result<Script, Complaint> {
    let snapshot = fields.texts("snap");
    check_properties(&snapshot, place)?;
    let mut on = BTreeMap::new();
    for (event, list) in fields.get("on").and_then(Value::as_object).into_iter().flatten() {
        on.insert(event.clone(), read_operations(Some(list), &format!("{place}.on.{event}"))?);
    }
    let after = fields.list("after").iter().map(|value| read_delayed(value, place));
    let mut after: Vec<Delayed> = after.collect::<Result<_, _>>()?;
    after.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    Ok(Script { start: read_operations(fields.get("start"), place)?, on, after, snapshot })
}

fn read_delayed(value: &Value, place: &str) -> Result<Delayed, Complaint> {
    let fields = Fields::read(value, &[format::AFTER], &format!("{place}.after"))?;
    Ok(Delayed {
        ms: fields.number("ms").unwrap_or(0.0),
        body: read_operations(fields.get("do"), place)?,
        unref: fields.flag("unref"),
    })
}

fn read_gate(value: &Value) -> Result<GateSpec, Complaint> {
    let fields = Fields::read(value, &[format::GATE], "gate")?;
    let body = read_operations(fields.get("do"), "gate")?;
    let needs_actor = |op: &&Operation| !format::WITHOUT_ACTOR.contains(&op.name);
    if let Some(lost) = body.iter().filter(needs_actor).find(|op| op.on.is_none()) {
        return Err(Complaint::new(format!("gate op {} lacks \"on\"", lost.name)));
    }
    let when = fields.get("when").map_or(Ok(Vec::new()), |list| read_conditions(list, "gate"))?;
    Ok(GateSpec { when, delay_ms: fields.number("delay").unwrap_or(0.0), body })
}

fn read_conditions(value: &Value, place: &str) -> Result<Vec<Condition>, Complaint> {
    let complaint = || Complaint::new(format!("when in {place} must be a list of conditions"));
    let list = value.as_array().ok_or_else(complaint)?;
    list.iter().map(|text| Condition::parse(text.as_str().unwrap_or_default())).collect()
}

fn read_signal(name: &str, value: &Value) -> Result<(String, bool), Complaint> {
    let fields = Fields::read(value, &[format::SIGNAL], &format!("signal {name}"))?;
    Ok((name.to_owned(), fields.flag("aborted")))
}

fn read_call(value: &Value) -> Result<Call, Complaint> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    let function = list.first().and_then(Value::as_str).unwrap_or_default().to_owned();
    match format::CALLS.contains(&function.as_str()) {
        true => Ok(Call { function, arguments: list[1..].to_vec() }),
        false => Err(Complaint::new(format!("unknown call {function:?}"))),
    }
}

/// The names after `$P` anywhere in the file.
fn port_placeholders(text: &str) -> Vec<String> {
    let digits = text.split("$P").skip(1).filter_map(|rest| rest.chars().next());
    let mut names: Vec<String> =
        digits.filter(char::is_ascii_digit).map(|digit| format!("P{digit}")).collect();
    names.sort();
    names.dedup();
    names
}
