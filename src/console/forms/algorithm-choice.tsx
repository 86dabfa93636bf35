import { Button, Select, SelectItem } from '@carbon/react';
import { ArrowUp, TrashCan } from '@carbon/react/icons';
import type { ReactNode } from 'react';
import { fieldProps } from '../parts/field.ts';
import { algorithmName, isWeak } from './policy-model.ts';

/** Algorithms of one category, the most preferred first. */
export function AlgorithmChoice({
  title,
  choices,
  chosen,
  choose,
  issue,
}: {
  readonly title: string;
  readonly choices: readonly string[];
  readonly chosen: readonly string[];
  readonly choose: (chosen: readonly string[]) => void;
  readonly issue: string | undefined;
}): ReactNode {
  const left = choices.filter((one) => !chosen.includes(one));
  const id = `add-${title.split(' ')[0]!.toLowerCase()}`;
  return (
    <fieldset className="algorithms">
      <legend>{title}</legend>
      <Chosen chosen={chosen} choose={choose} />
      <Select
        {...fieldProps(id, '', (name) => choose([...chosen, name]), issue)}
        labelText={chosen.length === 0 ? `Choose: ${title}` : `Add: ${title}`}
        hideLabel
        size="sm"
      >
        <SelectItem value="" text={chosen.length === 0 ? 'Choose one' : 'Add another one, less preferred'} />
        {left.map((name) => (
          <SelectItem
            key={name}
            value={name}
            text={`${algorithmName(name)}${isWeak(name) ? ' (weak)' : ''}`}
          />
        ))}
      </Select>
    </fieldset>
  );
}

/** What is chosen, in its order, and the ways to change that. */
function Chosen({
  chosen,
  choose,
}: {
  readonly chosen: readonly string[];
  readonly choose: (chosen: readonly string[]) => void;
}): ReactNode {
  return (
    <ol>
      {chosen.map((name, index) => (
        <li key={name}>
          <span>
            {algorithmName(name)}
            {isWeak(name) ? <strong className="weak"> weak</strong> : null}
          </span>
          {index === 0 ? null : (
            <Button
              kind="ghost"
              size="sm"
              hasIconOnly
              renderIcon={ArrowUp}
              iconDescription={`Prefer ${algorithmName(name)}`}
              onClick={() => choose(movedUp(chosen, index))}
            />
          )}
          <Button
            kind="ghost"
            size="sm"
            hasIconOnly
            renderIcon={TrashCan}
            iconDescription={`Leave out ${algorithmName(name)}`}
            onClick={() => choose(chosen.filter((one) => one !== name))}
          />
        </li>
      ))}
    </ol>
  );
}

function movedUp(chosen: readonly string[], index: number): readonly string[] {
  const moved = [...chosen];
  const [one] = moved.splice(index, 1);
  moved.splice(index - 1, 0, one!);
  return moved;
}
