// Small parts that several pages use.
import { useEffect, useRef, type ReactNode } from 'react';
import { sentence, type Problem } from '../api/problem';

const PATHS = {
  pulse: 'M2 12h5l2.5-7 4 14 2.5-7h6',
  files: 'M4 7a2 2 0 0 1 2-2h4l2 2h6a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2z',
  sessions: 'M3 5h18v11H3zM9 20h6M12 16v4',
  account: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20a7 7 0 0 1 14 0',
  upload: 'M12 16V5m0 0L7.5 9.5M12 5l4.5 4.5M5 19h14',
  download: 'M12 5v11m0 0 4.5-4.5M12 16l-4.5-4.5M5 20h14',
  bin: 'M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5',
  file: 'M7 3h7l4 4v14H7zM14 3v4h4',
  leave: 'M14 4h5v16h-5M4 12h10m0 0-4-4m4 4-4 4',
  check: 'm5 12.5 4.5 4.5L19 7.5',
  alert: 'M12 4 2.5 20h19zM12 10v4.5M12 17.3v.2',
  info: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8v.2',
  close: 'M6 6l12 12M18 6 6 18',
  refresh: 'M20 5v5h-5M4 19v-5h5M19 10a7.5 7.5 0 0 0-13-3M5 14a7.5 7.5 0 0 0 13 3',
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** Said at once to who cannot see it; it takes the focus where the user has to do something about it. */
export function Alert({ problem, children, focus = false }: { problem?: Problem; children?: ReactNode; focus?: boolean }) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (focus) ref.current?.focus();
  }, [focus, problem]);
  return (
    <div className="note bad" role="alert" tabIndex={-1} ref={ref} data-reason={problem?.reason}>
      <Icon name="alert" />
      <div>
        {problem ? sentence(problem) : null}
        {children}
        {problem?.traceId && problem.status >= 500 ? <div className="small">Reference for support: {problem.traceId}</div> : null}
      </div>
    </div>
  );
}

export function Note({ children, kind = 'plain' }: { children: ReactNode; kind?: 'plain' | 'warn' }) {
  return (
    <div className={`note ${kind}`} role="status">
      <Icon name={kind === 'warn' ? 'alert' : 'info'} />
      <div>{children}</div>
    </div>
  );
}

/** A question before something that cannot be undone. */
export function Confirm({ title, text, yes, onYes, onNo }: { title: string; text: string; yes: string; onYes: () => void; onNo: () => void }) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => ref.current?.showModal(), []);
  return (
    <dialog ref={ref} aria-labelledby="confirm-title" onCancel={onNo}>
      <h2 id="confirm-title">{title}</h2>
      <p>{text}</p>
      <div className="actions">
        <button className="button" onClick={onNo}>
          Cancel
        </button>
        <button className="button danger" id="confirm" onClick={onYes}>
          {yes}
        </button>
      </div>
    </dialog>
  );
}

export function Waiting({ what }: { what: string }) {
  return (
    <p className="waiting" role="status">
      <span className="spinner" aria-hidden="true" />
      {what}
    </p>
  );
}
