import { Button, Checkbox, InlineNotification, TextInput } from '@carbon/react';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { ApiFailure, own, send } from '../../api/client.ts';
import type { Connection, Gateway } from '../../api/types.ts';
import { Section } from '../../parts/page.tsx';
import { octets } from '../../parts/units.ts';

/** Octets that a page keeps of a capture; `culvert capture` has no such limit. */
const MAX_BYTES = 64 * 1024 * 1024;

/** Why a capture ended: the person wants what there is. */
const STOPPED = 'stopped';

type Work =
  | { readonly state: 'none' }
  | { readonly state: 'running'; readonly bytes: number }
  | { readonly state: 'failed'; readonly why: string };

/** The capture that this page has under way. */
function useCapture(gateway: string, { id, name }: Connection) {
  const [work, setWork] = useState<Work>({ state: 'none' });
  const end = useRef<AbortController>(undefined);
  useEffect(() => () => end.current?.abort(), []);
  const start = async (seconds: number, inner: boolean): Promise<void> => {
    end.current = new AbortController();
    setWork({ state: 'running', bytes: 0 });
    try {
      const path = own(`/vpn_gateways/${gateway}/connections/${id}/capture`);
      const body = { seconds, bytes: MAX_BYTES, inner, dropped: true };
      const answer = await send('POST', path, { body, signal: end.current.signal });
      await save(answer, `${name}.pcapng`, (bytes) => setWork({ state: 'running', bytes }));
      setWork({ state: 'none' });
    } catch (error) {
      const why = error instanceof ApiFailure ? error.message : 'The capture was cut off.';
      setWork({ state: 'failed', why });
    }
  };
  return { work, start, stop: () => end.current?.abort(STOPPED) };
}

/** Captures packets of the connection into a file of this browser. */
export function Capture({
  gateway,
  connection,
}: {
  readonly gateway: Gateway;
  readonly connection: Connection;
}): ReactNode {
  const [seconds, setSeconds] = useState('30');
  const [inner, setInner] = useState(false);
  const { work, start, stop } = useCapture(gateway.id, connection);
  const isRunning = work.state === 'running';
  return (
    <Section title="Capture">
      <p className="help">
        Records the packets of this connection into a file for Wireshark. Keys are never in it.
      </p>
      <div className="columns capture">
        <TextInput
          id="capture-seconds"
          labelText="Seconds"
          value={seconds}
          onChange={({ target }) => setSeconds(target.value)}
          inputMode="numeric"
          disabled={isRunning}
        />
        <Checkbox
          id="capture-inner"
          labelText="Also what is inside the tunnel, in the clear"
          checked={inner}
          onChange={(_event, { checked }) => setInner(checked)}
          disabled={isRunning}
        />
      </div>
      {isRunning ? (
        <Running bytes={work.bytes} stop={stop} />
      ) : (
        <Button
          kind="tertiary"
          onClick={() => void start(Number(seconds), inner)}
          disabled={!/^[1-9]\d{0,3}$/.test(seconds)}
        >
          Start the capture
        </Button>
      )}
      {work.state === 'failed' ? <Failed why={work.why} /> : null}
    </Section>
  );
}

function Running({ bytes, stop }: { readonly bytes: number; readonly stop: () => void }): ReactNode {
  return (
    <p role="status">
      Capturing: {octets(bytes)} so far.{' '}
      <Button kind="danger--tertiary" size="sm" onClick={stop}>
        Stop and save
      </Button>
    </p>
  );
}

function Failed({ why }: { readonly why: string }): ReactNode {
  return (
    <InlineNotification
      kind="error"
      title="There is no capture."
      subtitle={why}
      lowContrast
      hideCloseButton
    />
  );
}

/** Reads an answer to its end, or to where it was stopped, and gives it to the person as a file. */
async function save(answer: Response, name: string, progress: (bytes: number) => void): Promise<void> {
  const parts: BlobPart[] = [];
  let bytes = 0;
  const reader = answer.body!.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parts.push(value as BlobPart);
      bytes += value.length;
      progress(bytes);
    }
  } catch (error) {
    // What was captured until it was stopped is whole: a file of this kind grows block by block.
    if (error !== STOPPED || bytes === 0) throw error;
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'application/x-pcapng' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
