import { EventEmitter } from 'node:events';
import t from 'tap';
import { EndRequest, withSignals } from '../../src/daemon/system/signals.js';

t.test('signals are handled as long as it runs, and by default again afterwards', async (t) => {
  const source = new EventEmitter();
  const seen: string[] = [];
  const handlers = { SIGTERM: () => seen.push('TERM'), SIGHUP: () => seen.push('HUP') };
  const result = await withSignals(source, handlers, async () => {
    source.emit('SIGTERM');
    source.emit('SIGHUP');
    source.emit('SIGUSR2');
    return 7;
  });
  t.equal(result, 7);
  t.same(seen, ['TERM', 'HUP']);
  t.same(source.eventNames(), []);
  await t.rejects(
    withSignals(source, handlers, () => Promise.reject(new Error('x'))),
    { message: 'x' },
  );
  t.same(source.eventNames(), [], 'after a failure, too');
});

t.test('the first request counts, and a second signal ends the process at once', async (t) => {
  const codes: number[] = [];
  const end = new EndRequest<string>((code) => codes.push(code));
  end.ask('by a client');
  t.notOk(end.signalled);
  end.signal('by a signal');
  t.ok(end.signalled);
  t.equal(await end.asked, 'by a client');
  t.same(codes, [], 'one signal, whoever asked before');
  end.signal('again');
  t.same(codes, [130]);
});
