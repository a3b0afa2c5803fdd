// A small meeting of components-react, put together as meeting front ends do it.
import React, { useState } from "react";
import { createRoot } from "react-dom/client";
import { Track } from "livekit-client";
import {
  ChatEntry, ConnectionStateToast, GridLayout, LiveKitRoom, ParticipantTile, RoomAudioRenderer, TrackToggle, useChat, useTracks,
} from "@livekit/components-react";

const { url, token } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

function Tiles() {
  const tracks = useTracks(
    [{ source: Track.Source.Camera, withPlaceholder: true }, { source: Track.Source.ScreenShare, withPlaceholder: false }],
    { onlySubscribed: false },
  );
  return (
    <GridLayout tracks={tracks} style={{ height: "430px" }}>
      <ParticipantTile />
    </GridLayout>
  );
}

function Chat() {
  const { chatMessages, send } = useChat();
  const [text, setText] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    await send(text);
    setText("");
  };
  return (
    <form onSubmit={submit}>
      <ul id="messages" className="lk-list lk-chat-messages">
        {chatMessages.map((m) => (
          <ChatEntry key={m.id ?? m.timestamp} entry={m} />
        ))}
      </ul>
      <input id="text" value={text} onChange={(event) => setText(event.target.value)} aria-label="message" />
      <button id="send">Send</button>
    </form>
  );
}

function Meeting() {
  return (
    <LiveKitRoom
      serverUrl={url}
      token={token}
      connect
      audio
      video={{ resolution: { width: 640, height: 360, frameRate: 15 } }}
      options={{ adaptiveStream: true, dynacast: true, publishDefaults: { videoCodec: "vp9" } }}
      connectOptions={{ maxRetries: 5, peerConnectionTimeout: 60_000 }}
      onDisconnected={(reason) => (window.disconnected = reason)}
      onError={(err) => (window.failed = String(err))}
      data-lk-theme="default"
    >
      <Tiles />
      <RoomAudioRenderer />
      <ConnectionStateToast />
      <TrackToggle source={Track.Source.Microphone} id="microphone">Microphone</TrackToggle>
      <TrackToggle source={Track.Source.ScreenShare} id="screen">Screen</TrackToggle>
      <Chat />
    </LiveKitRoom>
  );
}

createRoot(document.getElementById("root")).render(<Meeting />);
