import com.scurrilous.circe.checksum.Crc32cIntChecksum;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.apache.pulsar.common.api.proto.BaseCommand;
import org.apache.pulsar.common.api.proto.BrokerEntryMetadata;
import org.apache.pulsar.common.api.proto.CompressionType;
import org.apache.pulsar.common.api.proto.MessageMetadata;
import org.apache.pulsar.common.api.proto.SingleMessageMetadata;
import org.apache.pulsar.common.intercept.BrokerEntryMetadataInterceptor;
import org.apache.pulsar.common.protocol.ByteBufPair;
import org.apache.pulsar.common.protocol.Commands;
import org.apache.pulsar.common.protocol.Commands.ChecksumType;

/** Whole frames with payload, batches, the broker's prefix and checksums. */
final class Frames {
    private Frames() {
    }

    static void add(Golden golden) {
        byte[] text = "the quick brown fox".getBytes(StandardCharsets.UTF_8);
        MessageMetadata plain = new MessageMetadata();
        plain.setProducerName("producer-1").setSequenceId(7).setPublishTime(1_700_000_000_123L);

        for (ChecksumType checksum : new ChecksumType[] {ChecksumType.Crc32c, ChecksumType.None}) {
            String suffix = checksum == ChecksumType.Crc32c ? "" : "_no_checksum";
            send(golden, "send" + suffix, Commands.newSend(1, 7, 1, checksum, plain, buffer(text)), plain, text);
            send(golden, "send_empty" + suffix, Commands.newSend(1, 7, 1, checksum, plain, buffer(new byte[0])), plain,
                    new byte[0]);
            // Anew each time: writing a message consumes the buffers of its byte fields.
            MessageMetadata full = (MessageMetadata) Filler.filled(MessageMetadata.class, Filler.Variant.MAXIMAL, null);
            send(golden, "send_full" + suffix, Commands.newSend(0xfffffffffffffff0L, Long.MAX_VALUE, 3, checksum, full,
                    buffer(text)), full, text);
        }
        send(golden, "send_txn", Commands.newSend(1, 7, 1, ChecksumType.Crc32c, 11, 12, plain, buffer(text)), plain, text);
        send(golden, "send_to_entry", Commands.newSend(1, 7, 7, 1, 3, 4, ChecksumType.Crc32c, -1, -1, plain,
                buffer(text)), plain, text);

        byte[] batch = batch(golden);
        MessageMetadata batched = new MessageMetadata();
        batched.setProducerName("producer-1").setSequenceId(7).setPublishTime(1_700_000_000_123L)
                .setNumMessagesInBatch(3).setHighestSequenceId(9).setUncompressedSize(batch.length)
                .setCompression(CompressionType.NONE);
        send(golden, "send_batch", Commands.newSend(1, 7, 9, 3, ChecksumType.Crc32c, batched, buffer(batch)), batched,
                batch);

        // What a broker stores and delivers: the sent headers and payload, with and without its own prefix.
        ByteBuf entry = Commands.serializeMetadataAndPayload(ChecksumType.Crc32c, plain, buffer(text));
        byte[] entryBytes = ByteBufUtil.getBytes(entry);
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("metadata", Filler.tree(plain));
        fields.put("payload", hex(text));
        golden.add("entry/plain", "entry", "Entry", "plain", entryBytes, fields);
        byte[] stamped = ByteBufUtil.getBytes(Commands.addBrokerEntryMetadata(buffer(entryBytes), interceptors(), 1));
        ByteBuf readBack = buffer(stamped);
        BrokerEntryMetadata prefix = Commands.parseBrokerEntryMetadataIfExist(readBack);
        Map<String, Object> stampedFields = new LinkedHashMap<>();
        stampedFields.put("broker_entry_metadata", Filler.tree(prefix));
        stampedFields.putAll(fields);
        golden.add("entry/broker_entry_metadata", "entry", "Entry", "broker_entry_metadata", stamped, stampedFields);
        message(golden, "message", entryBytes, fields);
        message(golden, "message_broker_entry_metadata", stamped, stampedFields);

        Map<String, byte[]> checks = new LinkedHashMap<>();
        checks.put("empty", new byte[0]);
        checks.put("digits", "123456789".getBytes(StandardCharsets.UTF_8));
        checks.put("zeros", new byte[32]);
        byte[] long1 = new byte[1000];
        for (int i = 0; i < long1.length; i++) {
            long1[i] = (byte) (i * 31);
        }
        checks.put("long", long1);
        for (Map.Entry<String, byte[]> e : checks.entrySet()) {
            int sum = Crc32cIntChecksum.computeChecksum(buffer(e.getValue()));
            golden.add("crc32c/" + e.getKey(), "crc32c", "Bytes", e.getKey(), e.getValue(),
                    Map.of("crc32c", Integer.toUnsignedLong(sum)));
        }
        // In two parts, as a frame of two buffers is summed.
        int head = Crc32cIntChecksum.computeChecksum(buffer(text).slice(0, 5));
        int both = Crc32cIntChecksum.resumeChecksum(head, buffer(text).slice(5, text.length - 5));
        golden.add("crc32c/resumed", "crc32c", "Bytes", "resumed", text, Map.of("crc32c", Integer.toUnsignedLong(both)));
    }

    private static byte[] batch(Golden golden) {
        ByteBuf out = Unpooled.buffer();
        Object[] listed = new Object[3];
        for (int i = 0; i < 3; i++) {
            byte[] payload = new byte[i * 5];
            java.util.Arrays.fill(payload, (byte) ('a' + i));
            SingleMessageMetadata single = new SingleMessageMetadata();
            if (i == 1) {
                Filler.fill(single, Filler.Variant.MAXIMAL, null, new ArrayDeque<>(), 0);
            } else if (i == 2) {
                single.setPartitionKey("key").setSequenceId(9).addProperty().setKey("k").setValue("v");
            }
            single.setPayloadSize(payload.length);
            Commands.serializeSingleMessageInBatchWithPayload(single, buffer(payload), out);
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("metadata", Filler.tree(single));
            one.put("payload", hex(payload));
            listed[i] = one;
        }
        byte[] bytes = ByteBufUtil.getBytes(out);
        golden.add("batch/three", "batch", "Batch", "three", bytes, Map.of("messages", listed));
        return bytes;
    }

    private static Set<BrokerEntryMetadataInterceptor> interceptors() {
        Set<BrokerEntryMetadataInterceptor> all = new LinkedHashSet<>();
        all.add((BrokerEntryMetadataInterceptor) java.lang.reflect.Proxy.newProxyInstance(Frames.class.getClassLoader(),
                new Class<?>[] {BrokerEntryMetadataInterceptor.class}, (proxy, method, arguments) -> {
                    if (method.getReturnType() == BrokerEntryMetadata.class) {
                        BrokerEntryMetadata metadata = (BrokerEntryMetadata) arguments[0];
                        return metadata.setBrokerTimestamp(1_700_000_000_456L).setIndex(0xfedcba9876543210L);
                    }
                    return method.getName().equals("hashCode") ? (Object) 1 : (Object) true;
                }));
        return all;
    }

    private static void send(Golden golden, String name, ByteBufPair pair, MessageMetadata metadata, byte[] payload) {
        Map<String, Object> rest = new LinkedHashMap<>();
        rest.put("metadata", Filler.tree(metadata));
        rest.put("payload", hex(payload));
        frame(golden, name, pair, rest);
    }

    private static void message(Golden golden, String name, byte[] entry, Map<String, Object> rest) {
        frame(golden, name, Commands.newMessage(5, 6, 7, 2, 1, buffer(entry), new long[] {-1, 0x7fff}), rest);
    }

    private static void frame(Golden golden, String name, ByteBufPair pair, Map<String, Object> rest) {
        ByteBuf all = ByteBufPair.coalesce(pair);
        byte[] bytes = ByteBufUtil.getBytes(all);
        int size = all.getInt(4);
        BaseCommand command = new BaseCommand();
        command.parseFrom(all.slice(8, size), size);
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("command", Filler.tree(command));
        ByteBuf after = all.slice(8 + size, bytes.length - 8 - size);
        if (rest.containsKey("broker_entry_metadata")) {
            after.skipBytes(2);
            after.skipBytes(after.readInt());
        }
        if (after.getUnsignedShort(after.readerIndex()) == 0x0e01) {
            fields.put("checksum", after.getUnsignedInt(after.readerIndex() + 2));
        }
        fields.putAll(rest);
        golden.add("frame/" + name, "frame", "Frame", name, bytes, fields);
    }

    private static ByteBuf buffer(byte[] bytes) {
        ByteBuf buffer = Unpooled.directBuffer(Math.max(1, bytes.length));
        return buffer.writeBytes(bytes);
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }
}
