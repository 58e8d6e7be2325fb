import { useRef, useState, type DragEvent } from 'react';
import { useDeleteFileMutation, useFilesQuery, type StoredFile } from '../api/gate';
import { sentence, type Problem } from '../api/problem';
import { cancel, dismissed, download, upload, type Transfer } from '../files/transfers';
import { bytes, when } from './format';
import { useApp, useSend } from './hooks';
import { Alert, Confirm, Icon, Waiting } from './parts';

/** Others of the organisation change files too. */
const POLL_MS = 30_000;

export function FilesPage() {
  const { data: files, error, isLoading, isFetching, refetch } = useFilesQuery(undefined, {
    pollingInterval: POLL_MS,
    skipPollingIfUnfocused: true,
    refetchOnMountOrArgChange: true,
  });
  const [remove, removing] = useDeleteFileMutation();
  const [asked, setAsked] = useState<StoredFile | null>(null);
  const send = useSend();
  const total = (files ?? []).reduce((sum, f) => sum + f.size, 0);

  return (
    <>
      <div className="heading">
        <div>
          <h1>Files</h1>
          <p className="soft">{files ? `${files.length} ${files.length === 1 ? 'file' : 'files'}, ${bytes(total)}` : ' '}</p>
        </div>
        <button id="reload" className="button" onClick={() => void refetch()} aria-busy={isFetching}>
          <Icon name="refresh" />
          Refresh
        </button>
      </div>
      <DropZone onFiles={(list) => list.forEach((file) => void send(upload(file)))} />
      <Transfers />
      {error ? <Alert problem={error as Problem} /> : null}
      {removing.error ? <Alert problem={removing.error as Problem} /> : null}
      {isLoading ? <Waiting what="Loading the files…" /> : null}
      {files?.length === 0 ? (
        <div className="empty">
          <Icon name="files" />
          <p>
            <strong>No files yet.</strong>
          </p>
          <p className="soft">What you upload is seen by your organisation only.</p>
        </div>
      ) : null}
      {files?.length ? (
        <table id="files" className="list">
          <caption className="hidden">Files of your organisation</caption>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Type</th>
              <th scope="col" className="number">
                Size
              </th>
              <th scope="col">Changed</th>
              <th scope="col">
                <span className="hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {files.map((file) => (
              <tr key={file.name} data-file={file.name}>
                <th scope="row">
                  <span className="file-name">
                    <Icon name="file" />
                    <span>{file.name}</span>
                  </span>
                </th>
                <td data-label="Type">{file.content_type}</td>
                <td data-label="Size" className="number">
                  {bytes(file.size)}
                </td>
                <td data-label="Changed">{when(file.modified)}</td>
                <td className="actions">
                  <button className="quiet" onClick={() => void send(download(file))}>
                    <Icon name="download" />
                    Download<span className="hidden"> {file.name}</span>
                  </button>
                  <button className="quiet danger" onClick={() => setAsked(file)}>
                    <Icon name="bin" />
                    Delete<span className="hidden"> {file.name}</span>
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      {asked ? (
        <Confirm
          title="Delete this file?"
          text={`“${asked.name}” is deleted for everybody in your organisation. This cannot be undone.`}
          yes="Delete"
          onNo={() => setAsked(null)}
          onYes={() => {
            void remove(asked.name);
            setAsked(null);
          }}
        />
      ) : null}
    </>
  );
}

function DropZone({ onFiles }: { onFiles: (files: File[]) => void }) {
  const [over, setOver] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  function drop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    onFiles([...event.dataTransfer.files]);
  }
  return (
    <div
      className={over ? 'drop over' : 'drop'}
      onDragOver={(e) => {
        e.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <span className="drop-icon">
        <Icon name="upload" />
      </span>
      <p>
        <strong>Drop files here</strong> <span className="soft">or</span>
      </p>
      <button className="button main" onClick={() => field.current?.click()}>
        Choose files
      </button>
      <input
        id="upload"
        type="file"
        multiple
        hidden
        ref={field}
        aria-label="Files to upload"
        onChange={(e) => {
          onFiles([...(e.target.files ?? [])]);
          e.target.value = '';
        }}
      />
    </div>
  );
}

function Transfers() {
  const transfers = useApp((s) => s.transfers);
  return (
    <ul className="transfers" aria-label="Transfers" aria-live="polite" aria-relevant="additions" hidden={transfers.length === 0}>
      {transfers.map((t) => (
        <TransferRow key={t.id} transfer={t} />
      ))}
    </ul>
  );
}

function TransferRow({ transfer: t }: { transfer: Transfer }) {
  const send = useSend();
  const running = t.state === 'running';
  const what = t.way === 'up' ? 'Upload' : 'Download';
  return (
    <li className={t.state} data-transfer={t.name} data-state={t.state}>
      <Icon name={t.state === 'failed' ? 'alert' : t.state === 'done' ? 'check' : t.way === 'up' ? 'upload' : 'download'} />
      <div className="grow">
        <div className="line">
          <span className="ellipsis">{t.name}</span>
          <span className="small">{running ? (t.total ? `${bytes(t.done)} of ${bytes(t.total)}` : bytes(t.done)) : t.state === 'done' ? `${what} complete` : `${what} failed`}</span>
        </div>
        {running ? <progress aria-label={`${what} of ${t.name}`} value={t.done} max={t.total || 1} /> : null}
        {t.problem ? <div className="wrong">{sentence(t.problem)}</div> : null}
      </div>
      <button className="quiet" onClick={() => (running ? cancel(t.id) : send(dismissed(t.id)))}>
        <Icon name="close" />
        <span className="hidden">
          {running ? 'Cancel' : 'Dismiss'} {t.name}
        </span>
      </button>
    </li>
  );
}
