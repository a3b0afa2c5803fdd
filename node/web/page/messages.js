// The part of the LiveKit protocol that the page speaks: numbers, names and types of
// fields (a test compares them with the node's own), and the enum values it uses.
import { message, encode, decode } from "./proto.js";

message("SignalRequest", `1 offer ?SessionDescription; 2 answer ?SessionDescription; 3 trickle ?TrickleRequest;
  4 addTrack ?AddTrackRequest; 5 mute ?MuteTrackRequest; 7 trackSetting ?UpdateTrackSettings; 8 leave ?LeaveRequest;
  12 syncState ?SyncState; 14 ping ?int; 15 updateMetadata ?UpdateParticipantMetadata; 16 pingReq ?Ping`);
message("SignalResponse", `1 join ?JoinResponse; 2 answer ?SessionDescription; 3 offer ?SessionDescription;
  4 trickle ?TrickleRequest; 5 update ?ParticipantUpdate; 6 trackPublished ?TrackPublishedResponse; 8 leave ?LeaveRequest;
  9 mute ?MuteTrackRequest; 10 speakersChanged ?SpeakersChanged; 11 roomUpdate ?RoomUpdate;
  12 connectionQuality ?ConnectionQualityUpdate; 13 streamStateUpdate ?StreamStateUpdate;
  14 subscribedQualityUpdate ?SubscribedQualityUpdate; 16 refreshToken ?string;
  17 trackUnpublished ?TrackUnpublishedResponse; 18 pong ?int; 19 reconnect ?ReconnectResponse; 20 pongResp ?Pong;
  22 requestResponse ?RequestResponse`);

message("SessionDescription", "1 type string; 2 sdp string; 3 id int; 4 midToTrackId map");
message("TrickleRequest", "1 candidateInit string; 2 target int; 3 final bool");
message("AddTrackRequest", `1 cid string; 2 name string; 3 type int; 4 width int; 5 height int; 6 muted bool; 8 source int;
  9 layers []VideoLayer; 10 simulcastCodecs []SimulcastCodec; 15 stream string`);
message("VideoLayer", "1 quality int; 2 width int; 3 height int; 4 bitrate int; 6 spatialLayer int; 7 rid string");
message("SimulcastCodec", "1 codec string; 2 cid string");
message("MuteTrackRequest", "1 sid string; 2 muted bool");
message("UpdateTrackSettings", "1 trackSids []string; 3 disabled bool; 4 quality int; 5 width int; 6 height int");
message("UpdateParticipantMetadata", "1 metadata string; 2 name string; 3 attributes map; 4 requestId int");
message("LeaveRequest", "2 reason int; 3 action int");
message("Ping", "1 timestamp int; 2 rtt int");
message("Pong", "1 lastPingTimestamp int; 2 timestamp int");
message("SyncState", `1 answer SessionDescription; 2 subscription UpdateSubscription;
  3 publishTracks []TrackPublishedResponse; 4 dataChannels []DataChannelInfo; 5 offer SessionDescription;
  7 datachannelReceiveStates []DataChannelReceiveState`);
message("UpdateSubscription", "1 trackSids []string; 2 subscribe bool");
message("DataChannelInfo", "1 label string; 2 id int; 3 target int");
message("DataChannelReceiveState", "1 publisherSid string; 2 lastSeq int");

message("JoinResponse", `1 room Room; 2 participant ParticipantInfo; 3 otherParticipants []ParticipantInfo;
  5 iceServers []ICEServer; 6 subscriberPrimary bool; 9 serverRegion string; 10 pingTimeout int; 11 pingInterval int;
  12 serverInfo ServerInfo; 15 fastPublish bool`);
message("ReconnectResponse", "1 iceServers []ICEServer; 3 serverInfo ServerInfo; 4 lastMessageSeq int");
message("Room", "1 sid string; 2 name string; 9 numParticipants int; 10 activeRecording bool");
message("ServerInfo", "2 version string; 4 region string; 5 nodeId string");
message("ICEServer", "1 urls []string; 2 username string; 3 credential string");
message("ParticipantInfo", `1 sid string; 2 identity string; 3 state int; 4 tracks []TrackInfo; 9 name string;
  10 version int; 11 permission ParticipantPermission; 12 region string; 14 kind int; 15 attributes map`);
message("ParticipantPermission", "2 canPublish bool; 3 canPublishData bool; 9 canPublishSources []int; 10 canUpdateMetadata bool");
message("TrackInfo", `1 sid string; 2 type int; 3 name string; 4 muted bool; 5 width int; 6 height int; 9 source int;
  11 mimeType string; 12 mid string; 17 stream string`);
message("ParticipantUpdate", "1 participants []ParticipantInfo");
message("TrackPublishedResponse", "1 cid string; 2 track TrackInfo");
message("TrackUnpublishedResponse", "1 trackSid string");
message("SpeakersChanged", "1 speakers []SpeakerInfo");
message("SpeakerInfo", "1 sid string; 2 level float; 3 active bool");
message("RoomUpdate", "1 room Room");
message("ConnectionQualityUpdate", "1 updates []ConnectionQualityInfo");
message("ConnectionQualityInfo", "1 participantSid string; 2 quality int; 3 score float");
message("StreamStateUpdate", "1 streamStates []StreamStateInfo");
message("StreamStateInfo", "1 participantSid string; 2 trackSid string; 3 state int");
message("SubscribedQualityUpdate", "1 trackSid string; 3 subscribedCodecs []SubscribedCodec");
message("SubscribedCodec", "1 codec string; 2 qualities []SubscribedQuality");
message("SubscribedQuality", "1 quality int; 2 enabled bool");
message("RequestResponse", "1 requestId int; 2 reason int; 3 message string; 5 addTrack ?AddTrackRequest");

message("DataPacket", `1 kind int; 2 user ?UserPacket; 4 participantIdentity string; 5 destinationIdentities []string;
  9 chatMessage ?ChatMessage; 13 streamHeader ?DataStream.Header; 14 streamChunk ?DataStream.Chunk;
  15 streamTrailer ?DataStream.Trailer; 16 sequence int; 17 participantSid string`);
message("UserPacket", "2 payload bytes; 4 topic ?string; 8 id ?string");
message("ChatMessage", "1 id string; 2 timestamp int; 3 editTimestamp ?int; 4 message string; 5 deleted bool");
message("DataStream.Header", `1 streamId string; 2 timestamp int; 3 topic string; 4 mimeType string; 5 totalLength ?int;
  8 attributes map; 9 textHeader ?DataStream.TextHeader; 10 byteHeader ?DataStream.ByteHeader; 11 inlineContent ?bytes;
  12 compression int`);
message("DataStream.TextHeader", "1 operationType int; 2 version int; 3 replyToStreamId string");
message("DataStream.ByteHeader", "1 name string");
message("DataStream.Chunk", "1 streamId string; 2 chunkIndex int; 3 content bytes; 4 version int");
message("DataStream.Trailer", "1 streamId string; 2 reason string; 3 attributes map");

export const Target = { PUBLISHER: 0, SUBSCRIBER: 1 };
export const TrackType = { AUDIO: 0, VIDEO: 1 };
export const Source = { CAMERA: 1, MICROPHONE: 2, SCREEN_SHARE: 3, SCREEN_SHARE_AUDIO: 4 };
export const Quality = { LOW: 0, MEDIUM: 1, HIGH: 2 };
export const ParticipantState = { DISCONNECTED: 3 };
export const Action = { DISCONNECT: 0, RESUME: 1, RECONNECT: 2 };
export const Reason = {
  CLIENT_INITIATED: 1, DUPLICATE_IDENTITY: 2, SERVER_SHUTDOWN: 3, PARTICIPANT_REMOVED: 4, ROOM_DELETED: 5,
  STATE_MISMATCH: 6, JOIN_FAILURE: 7, ROOM_CLOSED: 10,
};
export const LinkQuality = { POOR: 0, GOOD: 1, EXCELLENT: 2, LOST: 3 };
export const StreamState = { PAUSED: 1 };
export const Operation = { CREATE: 0, UPDATE: 1, DELETE: 2 };

export const encodeRequest = (request) => encode("SignalRequest", request);
export const decodeResponse = (bytes) => decode("SignalResponse", bytes);
export const encodeData = (packet) => encode("DataPacket", packet);
export const decodeData = (bytes) => decode("DataPacket", bytes);
