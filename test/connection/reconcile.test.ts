import t from 'tap';
import type { Command, State } from '../../src/connection/reconcile-types.js';
import type { ConnectionConfig, DpdAction } from '../../src/ike/config.js';
import type { CloseReason, IkeEvent } from '../../src/ike/events.js';
import { FedReconciler } from './fed.js';
import { comesUp, connection, constantRandom } from './samples.js';

const PEER = { address: '192.0.2.2', port: 500 };

function closed(name: string, reason: CloseReason, id = 1): IkeEvent[] {
  return [
    { kind: 'child-closed', connection: name, childId: id, reason },
    { kind: 'ike-closed', connection: name, ikeId: id, reason },
  ];
}

function failed(name: string): IkeEvent[] {
  const failure = { cause: 'peer_silent', message: 'no answer' } as const;
  return [{ kind: 'ike-failed', connection: name, ikeId: 9, role: 'initiator', peer: PEER, failure }];
}

/** A reconciler with one connection, driven by short names. */
class Bench {
  readonly reconciler: FedReconciler;
  now = 0;

  constructor(config: ConnectionConfig, octet = 0xff) {
    this.reconciler = new FedReconciler(constantRandom(octet));
    this.first = this.reconciler.handle({ kind: 'configure', connections: [config] }, 0);
  }

  readonly first: Command[];

  events(events: IkeEvent[], at = this.now): string[] {
    this.now = at;
    return this.reconciler.handle({ kind: 'events', events }, at).map((command) => command.kind);
  }

  send(kind: 'up' | 'down' | 'acquire', at = this.now): string[] {
    this.now = at;
    return this.reconciler.handle({ kind, connection: 'c' }, at).map((command) => command.kind);
  }

  timer(at: number): string[] {
    this.now = at;
    return this.reconciler.handle({ kind: 'timer' }, at).map((command) => command.kind);
  }

  get state(): State {
    return this.reconciler.view('c')!.state;
  }
}

t.test('at start', async (t) => {
  t.test('a bidirectional connection is initiated', async (t) => {
    const bench = new Bench(connection('c'));
    t.same(bench.first, [{ kind: 'initiate', connection: 'c' }]);
    t.equal(bench.state, 'connecting');
  });

  t.test('a peer_only connection waits and is never initiated', async (t) => {
    const bench = new Bench(connection('c', { establishMode: 'peer_only' }));
    t.same(bench.first, []);
    t.equal(bench.state, 'passive');
    t.same(bench.send('up'), []);
    t.same(bench.send('acquire'), []);
    t.same(bench.events(comesUp('c')), []);
    t.equal(bench.state, 'up');
    t.same(bench.events(closed('c', 'peer-dead'), 60_000), []);
    t.equal(bench.state, 'passive');
    t.equal(bench.reconciler.nextDeadline(), undefined);
  });

  t.test('up right after down: the end of the old SA is no failure of the new attempt', async (t) => {
    const bench = new Bench(connection('c'));
    bench.events(comesUp('c'));
    bench.send('down');
    bench.send('up');
    bench.timer(bench.reconciler.nextDeadline()!);
    t.equal(bench.state, 'connecting');
    t.same(bench.events(closed('c', 'terminated'), bench.now + 100), []);
    t.equal(bench.reconciler.view('c')!.failures, 0);
    t.equal(bench.state, 'connecting');
  });

  t.test('a disabled one stays disabled', async (t) => {
    const bench = new Bench(connection('c', { adminUp: false }));
    t.same(bench.first, []);
    t.equal(bench.state, 'disabled');
    t.same(bench.send('up'), []);
  });

  t.test('many connections start one after the other', async (t) => {
    const reconciler = new FedReconciler(constantRandom(0));
    const connections = ['a', 'b', 'd'].map((name) => connection(name));
    const first = reconciler.handle({ kind: 'configure', connections }, 100);
    t.same(first, [{ kind: 'initiate', connection: 'a' }]);
    t.equal(reconciler.nextDeadline(), 110);
    t.same(reconciler.handle({ kind: 'timer' }, 110), [{ kind: 'initiate', connection: 'b' }]);
    t.same(reconciler.handle({ kind: 'timer' }, 120), [{ kind: 'initiate', connection: 'd' }]);
  });
});

t.test('retries never end, wait longer each time and at most a minute', async (t) => {
  const bench = new Bench(connection('c'));
  const waits: number[] = [];
  for (let i = 0; i < 12; i++) {
    t.same(bench.events(failed('c')), []);
    t.equal(bench.state, 'due');
    const due = bench.reconciler.nextDeadline()!;
    waits.push(due - bench.now);
    t.same(bench.timer(due - 1), [], 'not before its time');
    t.same(bench.timer(due), ['initiate']);
  }
  t.same(waits, [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000, 60000, 60000, 60000]);
});

t.test('the whole wait is random, down to a floor', async (t) => {
  const bench = new Bench(connection('c'), 0);
  bench.events(failed('c'));
  t.equal(bench.reconciler.nextDeadline(), 100);
});

t.test('a connection that was up for a while starts with short waits again', async (t) => {
  const bench = new Bench(connection('c', { dpd: { action: 'none', interval: 2, timeout: 10 } }));
  for (let i = 0; i < 5; i++) {
    bench.events(failed('c'));
    bench.timer(bench.reconciler.nextDeadline()!);
  }
  const at = bench.now;
  bench.events(comesUp('c'), at);
  bench.events(closed('c', 'failed'), at + 5000);
  t.equal(bench.reconciler.nextDeadline()! - bench.now, 32_000, 'five seconds prove nothing');
  bench.timer(bench.reconciler.nextDeadline()!);
  bench.events(comesUp('c', 2));
  bench.events(closed('c', 'failed', 2), bench.now + 20_000);
  t.equal(bench.reconciler.nextDeadline()! - bench.now, 1000);
});

t.test('dead peer detection actions', async (t) => {
  const dead = (action: DpdAction): Bench => {
    const bench = new Bench(connection('c', { dpd: { action, interval: 2, timeout: 10 } }));
    bench.events(comesUp('c'), 1000);
    t.equal(bench.state, 'up');
    return bench;
  };

  t.test('restart initiates at once', async (t) => {
    const bench = dead('restart');
    t.same(bench.events(closed('c', 'peer-dead'), 50_000), ['initiate']);
    t.equal(bench.state, 'connecting');
  });

  t.test('restart is damped when the connection flaps', async (t) => {
    const bench = dead('restart');
    t.same(bench.events(closed('c', 'peer-dead'), 2000), ['initiate'], 'the first time at once');
    bench.events(comesUp('c', 2), 2100);
    t.same(bench.events(closed('c', 'peer-dead', 2), 3000), []);
    t.equal(bench.state, 'due');
  });

  t.test('clear waits for the peer or an operator, traffic does not matter', async (t) => {
    const bench = dead('clear');
    t.same(bench.events(closed('c', 'peer-dead'), 50_000), []);
    t.equal(bench.state, 'passive');
    t.same(bench.send('acquire'), []);
    t.same(bench.send('up'), ['initiate']);
  });

  t.test('hold waits for traffic', async (t) => {
    const bench = dead('hold');
    t.same(bench.events(closed('c', 'peer-dead'), 50_000), []);
    t.equal(bench.state, 'trapped');
    t.equal(bench.reconciler.nextDeadline(), undefined);
    t.same(bench.send('acquire'), ['initiate']);
  });

  t.test('none: a loss for another reason is retried', async (t) => {
    const bench = dead('none');
    t.same(bench.events(closed('c', 'peer-dead'), 50_000), []);
    t.equal(bench.state, 'due');
  });
});

t.test('after the peer deleted the connection it is wanted again, with a small delay', async (t) => {
  const bench = new Bench(connection('c', { dpd: { action: 'clear', interval: 2, timeout: 10 } }));
  bench.events(comesUp('c'), 1000);
  t.same(bench.events(closed('c', 'peer-deleted'), 20_000), []);
  const due = bench.reconciler.nextDeadline()!;
  t.ok(due > 20_000 && due <= 20_500);
  t.same(bench.timer(due), ['initiate']);
});

t.test('the last child going brings the connection back although the IKE SA stands', async (t) => {
  const bench = new Bench(connection('c'));
  bench.events(comesUp('c'), 1000);
  bench.events([{ kind: 'child-closed', connection: 'c', childId: 1, reason: 'peer-deleted' }], 20_000);
  t.equal(bench.state, 'due');
});

t.test('a peer that deletes the child SAs only: they are made again at once, without a storm', async (t) => {
  const bench = new Bench(connection('c'));
  const [childClosed, ikeClosed] = closed('c', 'peer-deleted');
  bench.events(comesUp('c'), 1000);
  bench.events([childClosed!], 20_000);
  const due = bench.reconciler.nextDeadline()!;
  t.ok(due <= 20_050, 'nobody needs to wait for a new attempt of the peer');
  t.same(bench.timer(due), ['initiate']);
  const again = comesUp('c').filter(({ kind }) => kind === 'child-established');
  let waited = 0;
  for (let n = 0; n < 6; n++) {
    const at = bench.now + 10;
    bench.events(again, at);
    t.equal(bench.state, 'up');
    bench.events([childClosed!], at);
    const wait = bench.reconciler.nextDeadline()! - at;
    t.ok(wait > waited || wait >= 30_000, `one that is deleted at once is made after ${wait} ms`);
    waited = wait;
    t.same(bench.timer(at + wait), ['initiate']);
  }

  t.test('the IKE SA follows', async (t) => {
    const other = new Bench(connection('c'));
    other.events(comesUp('c'), 1000);
    other.events([childClosed!], 20_000);
    other.events([ikeClosed!], 20_001);
    t.equal(other.state, 'due');
    t.same(other.timer(20_100), [], 'a new attempt of the peer goes first');
    const due = other.reconciler.nextDeadline()!;
    t.ok(due > 20_400 && due <= 20_501);
    t.same(other.timer(due), ['initiate']);
  });
});

t.test('a rekey is no loss', async (t) => {
  const bench = new Bench(connection('c'));
  bench.events(comesUp('c'), 1000);
  t.same(bench.events([...comesUp('c', 2), ...closed('c', 'rekeyed', 1)], 20_000), []);
  t.equal(bench.state, 'up');
});

t.test('down keeps it down until up', async (t) => {
  const bench = new Bench(connection('c'));
  bench.events(comesUp('c'), 1000);
  t.same(bench.send('down', 2000), ['terminate', 'refuse']);
  t.equal(bench.state, 'stopped');
  t.same(bench.events(closed('c', 'terminated')), []);
  t.same(bench.send('acquire'), []);
  t.same(bench.timer(1e9), []);
  t.same(bench.send('down'), [], 'twice is once');
  t.same(bench.events(comesUp('c', 2)), ['terminate'], 'an SA that came to be meanwhile goes too');
  t.same(bench.events(closed('c', 'terminated', 2)), []);
  t.same(bench.send('up'), ['admit', 'initiate']);
  t.equal(bench.state, 'connecting');
});

t.test('down while connecting gives the attempt up', async (t) => {
  const bench = new Bench(connection('c'));
  t.same(bench.send('down'), ['terminate', 'refuse']);
  t.same(bench.events(failed('c')), []);
  t.equal(bench.state, 'stopped');
  t.equal(bench.reconciler.nextDeadline(), undefined);
});

t.test('up during a wait initiates at once; the peer may also be first', async (t) => {
  const bench = new Bench(connection('c'));
  bench.events(failed('c'));
  t.same(bench.send('up'), ['initiate']);
  bench.events(failed('c'));
  t.equal(bench.state, 'due');
  bench.events(comesUp('c'));
  t.equal(bench.state, 'up');
  t.equal(bench.reconciler.nextDeadline(), undefined, 'nothing is left to retry');
});

t.test('a failure of the peer to initiate does not end our own attempt', async (t) => {
  const bench = new Bench(connection('c'));
  const failure = { cause: 'psk_mismatch', message: 'x' } as const;
  bench.events([{ kind: 'ike-failed', connection: 'c', role: 'responder', peer: PEER, failure }]);
  t.equal(bench.state, 'connecting');
});

t.test('an IKE SA whose child was refused counts as a failed attempt', async (t) => {
  const bench = new Bench(connection('c'));
  const failure = { cause: 'ts_mismatch', message: 'x' } as const;
  bench.events([
    comesUp('c')[0]!,
    { kind: 'child-failed', connection: 'c', ikeId: 1, role: 'initiator', failure },
  ]);
  t.equal(bench.state, 'due');
});

t.test('an attempt without any outcome is repeated', async (t) => {
  const bench = new Bench(connection('c'));
  const watchdog = bench.reconciler.nextDeadline()!;
  t.same(bench.timer(watchdog), ['initiate']);
  t.equal(bench.state, 'connecting');
});

t.test('configuration changes', async (t) => {
  const bench = new Bench(connection('c'));
  bench.events(comesUp('c'), 1000);
  const disabled = connection('c', { adminUp: false });
  const off = bench.reconciler.handle({ kind: 'configure', connections: [disabled] }, 2000);
  t.same(off, [{ kind: 'terminate', connection: 'c' }]);
  t.equal(bench.state, 'disabled');
  bench.events(closed('c', 'terminated'));
  const on = bench.reconciler.handle({ kind: 'configure', connections: [connection('c')] }, 3000);
  t.same(on, [{ kind: 'initiate', connection: 'c' }]);
  bench.reconciler.handle({ kind: 'configure', connections: [] }, 4000);
  t.equal(bench.reconciler.view('c'), undefined);
  t.equal(bench.reconciler.nextDeadline(), undefined);
});

t.test('every state takes every stimulus: no exception, and only commands that fit', async (t) => {
  const reach: Record<State, (bench: Bench) => void> = {
    disabled: (bench) => {
      bench.reconciler.handle({ kind: 'configure', connections: [connection('c', { adminUp: false })] }, 0);
    },
    stopped: (bench) => void bench.send('down'),
    passive: (bench) => {
      bench.events(comesUp('c'));
      const clear = connection('c', { dpd: { action: 'clear', interval: 2, timeout: 10 } });
      bench.reconciler.handle({ kind: 'configure', connections: [clear] }, 0);
      bench.events(closed('c', 'peer-dead'));
    },
    trapped: (bench) => {
      bench.events(comesUp('c'));
      const hold = connection('c', { dpd: { action: 'hold', interval: 2, timeout: 10 } });
      bench.reconciler.handle({ kind: 'configure', connections: [hold] }, 0);
      bench.events(closed('c', 'peer-dead'));
    },
    due: (bench) => void bench.events(failed('c')),
    connecting: () => undefined,
    up: (bench) => void bench.events(comesUp('c')),
  };
  const stimuli: Record<string, (bench: Bench) => string[]> = {
    up: (bench) => bench.send('up'),
    down: (bench) => bench.send('down'),
    acquire: (bench) => bench.send('acquire'),
    timer: (bench) => bench.timer(1e9),
    failed: (bench) => bench.events(failed('c')),
    established: (bench) => bench.events(comesUp('c', 7)),
    dead: (bench) => bench.events(closed('c', 'peer-dead', 1)),
  };
  const mayInitiate = new Set(['up', 'timer', 'acquire', 'dead']);
  for (const [state, prepare] of Object.entries(reach)) {
    for (const [name, stimulus] of Object.entries(stimuli)) {
      const bench = new Bench(connection('c'));
      prepare(bench);
      t.equal(bench.state, state, `reached ${state}`);
      const commands = stimulus(bench);
      if (state === 'disabled')
        t.notOk(commands.includes('initiate'), `disabled + ${name} initiates nothing`);
      if (state === 'stopped' && name !== 'up') t.notOk(commands.includes('initiate'), `stopped + ${name}`);
      if (commands.includes('initiate')) t.ok(mayInitiate.has(name), `${state} + ${name} may initiate`);
      if (name === 'down') t.ok(['stopped', 'disabled'].includes(bench.state), `${state} + down`);
    }
  }
});

t.test(
  'an ISAKMP SA of version 1 may end while its ESP SAs stand: nothing is lost, and nothing begun',
  async (t) => {
    const bench = new Bench(connection('c'));
    const [established, child] = comesUp('c') as [IkeEvent & { kind: 'ike-established' }, IkeEvent];
    bench.events([{ ...established, ike: { ...established.ike, version: 1 } }, child]);
    t.equal(bench.state, 'up');
    const [childClosed, ikeClosed] = closed('c', 'peer-deleted') as [IkeEvent, IkeEvent];
    t.strictSame(bench.events([ikeClosed]), []);
    t.equal(bench.state, 'up');
    bench.events([childClosed]);
    t.equal(bench.state, 'due', 'with the last ESP SA the connection is lost');
  },
);
