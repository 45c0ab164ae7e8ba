// FB_Inspect and the machine around it: the text of the function nodes "FB_Inspect" of flow.json.
// Written from docs/registers.md and the contract's function block. In: the 44 words of STAT, once a scan.
// Out: 1 the 20 words of CTRL, 2 a part that is decided, 3 all parts are played.
// Times are in milliseconds. They are longer than a machine's would be: tests run on busy cores.
const T_HB = 10000, T_ACK = 10000, T_RESULT = 20000, T_READY = 60000, BEAT = 50, LINGER = 5000;
const TRIGGER_ENABLE = 1, TRIGGER = 2, RESULTS_ACK = 8;
const READY = 1, ACK = 2, VALID = 128, PASS = 256, FAIL = 512, ERROR = 1 << 14, ONLINE = 1 << 15;

const parts = Number(env.get("PLC_PARTS")), firstPart = Number(env.get("PLC_FIRST_PART"));
const firstId = Number(env.get("PLC_FIRST_ID")), station = 1;
const now = Date.now();
const s = msg.payload;
const status = s[0], heartbeat = s[1], idAck = s[2], resSeq = s[9], resId = s[10], valid = (status & VALID) !== 0;
const u32 = (high, low) => high * 65536 + low;

const fb = context.get("fb") || {
    ctrl: new Array(20).fill(0), st: 0, id: 0, done: 0, hbSeen: 0, hbChanges: 0, hbAt: 0, beatAt: 0, freeAt: now,
    inTrack: false, over: false,
};
context.set("fb", fb);
const ctrl = fb.ctrl;
let decided = null, over = null;

const hbOk = () => fb.hbChanges >= 2 && now - fb.hbAt < T_HB;
const control = (bit, on) => { ctrl[0] = on ? ctrl[0] | bit : ctrl[0] & ~bit; };

function good() {
    const xor = s.slice(9, 38).reduce((a, b) => a ^ b, 0);
    return valid && (status & PASS) && !(status & FAIL) && s[11] === 1 && resId === fb.id && resSeq === s[39]
        && s[38] === xor && (ctrl[7] === 0 || s[17] === ctrl[7]) && (s[21] & 3) === 0 && (status & ONLINE)
        && !(status & ERROR) && s[41] === 0xA100 + station;
}

function raiseTrigger() {
    const partId = firstPart + fb.done;
    ctrl[1] = fb.id;
    ctrl[14] = ~fb.id & 0xFFFF;
    ctrl[8] = partId >>> 16; ctrl[9] = partId & 0xFFFF;
    ctrl[10] = fb.id; ctrl[11] = 7;   // ENCODER
    control(TRIGGER, true);
    Object.assign(fb, { triggered: true, acked: false, lateAck: false, t0: now, st: 1 });
}

function awaitResult() {
    if ((status & ACK) && idAck === fb.id) {
        if (!fb.acked) fb.lateAck = now - fb.t0 > T_ACK;
        fb.acked = true;
        control(TRIGGER, false);
    }
    if (fb.acked && valid && resId === fb.id && resSeq === s[39]) {
        if (good() && hbOk() && !fb.lateAck) fb.verdict = "good";
        Object.assign(fb, { code: s[11], reason: s[12], status, partEcho: u32(s[22], s[23]), encoderEcho: u32(s[24], s[25]) });
        control(RESULTS_ACK, true);
        fb.st = 2;
    } else {
        control(RESULTS_ACK, valid && resId !== fb.id);   // foreign or late: discard, else deadlock
    }
    if (now - fb.t0 > T_RESULT || !hbOk()) {
        control(TRIGGER, false);
        fb.st = 2;
    }
}

function inspect(newPart) {
    if (newPart) {
        fb.id = fb.done ? fb.id % 65535 + 1 : firstId;
        Object.assign(fb, { verdict: "reject", inTrack: true, triggered: false, code: 0, reason: 0, status: 0 });
        const count = fb.done + 1;
        ctrl[18] = count >>> 16; ctrl[19] = count & 0xFFFF;
    }
    if (fb.st === 0) {
        control(RESULTS_ACK, valid);   // discard leftovers, else deadlock
        if (newPart && hbOk() && (status & READY) && !valid) raiseTrigger();
    } else if (fb.st === 1) {
        awaitResult();
    } else {
        control(RESULTS_ACK, valid);
        if (!valid && !(status & ACK)) fb.st = 0;
    }
}

function decide() {
    ctrl[16] = fb.id;
    ctrl[17] = !fb.triggered ? 3 : fb.verdict === "good" ? 1 : 2;
    decided = {
        trigger_id: fb.id, part_id: firstPart + fb.done, code: fb.code, reason: fb.reason, verdict: fb.verdict,
        status: fb.status, part_echo: fb.partEcho, encoder: u32(ctrl[10], ctrl[11]), encoder_echo: fb.encoderEcho,
    };
    fb.done += 1;
    fb.inTrack = false;
    fb.freeAt = now;
}

if (heartbeat !== fb.hbSeen) {
    fb.hbSeen = heartbeat;
    fb.hbAt = now;
    fb.hbChanges += 1;
}
control(TRIGGER_ENABLE, true);
ctrl[3] = heartbeat;
ctrl[15] = 0x51A0 + station;   // a simulator: rendered parts may pass
if (now - fb.beatAt >= BEAT) {
    fb.beatAt = now;
    ctrl[2] = (ctrl[2] + 1) & 0xFFFF;
}
// The next part comes when the appliance is READY; after T_READY it passes the camera all the same.
const free = fb.st === 0 && !fb.inTrack && fb.done < parts;
inspect(free && (hbOk() && (status & READY) && !valid || now - fb.freeAt > T_READY));
if (fb.inTrack && fb.st === 0) decide();
if (fb.done === parts && now - fb.freeAt > LINGER && !fb.over) {
    fb.over = true;
    over = { payload: fb.done };
}
return [{ payload: ctrl.slice() }, decided && { payload: decided }, over];
