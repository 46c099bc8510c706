import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.http.apache.ApacheHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.kinesis.KinesisClient;
import software.amazon.awssdk.services.kinesis.model.*;
import software.amazon.awssdk.services.kinesis.model.Record;

/** Uses a stream by Amazon's SDK for Java, as it comes, and prints what it sees, a line each. */
public class SDK {
    public static void main(String[] args) {
        String stream = args[1];
        try (KinesisClient client = KinesisClient.builder()
                .endpointOverride(URI.create(args[0]))
                .region(Region.US_EAST_1)
                .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("local", "local")))
                .httpClient(ApacheHttpClient.create())
                .build()) {
            put(client, stream);
            read(client, stream);
            missing(client);
        }
    }

    static void put(KinesisClient client, String stream) {
        PutRecordsResponse out = client.putRecords(b -> b.streamName(stream).records(
                entry("k", null, "00ff"), entry("schlüssel", "7", "e28692"), entry("k".repeat(256), null, "00".repeat(300))));
        System.out.println("failed " + out.failedRecordCount());
        for (PutRecordsResultEntry r : out.records()) {
            System.out.println("put " + r.shardId() + " " + r.sequenceNumber() + " " + r.errorCode());
        }
    }

    static PutRecordsRequestEntry entry(String key, String hashKey, String hex) {
        return PutRecordsRequestEntry.builder().partitionKey(key).explicitHashKey(hashKey)
                .data(SdkBytes.fromByteArray(HexFormat.of().parseHex(hex))).build();
    }

    static void read(KinesisClient client, String stream) {
        StreamDescriptionSummary s = client.describeStreamSummary(b -> b.streamName(stream)).streamDescriptionSummary();
        System.out.println("created " + s.streamCreationTimestamp().toEpochMilli());
        Shard shard = client.listShards(b -> b.streamName(stream)).shards().get(0);
        System.out.println("shard " + shard.hashKeyRange().endingHashKey());
        String it = client.getShardIterator(b -> b.streamName(stream).shardId(shard.shardId())
                .shardIteratorType(ShardIteratorType.AT_TIMESTAMP).timestamp(s.streamCreationTimestamp())).shardIterator();
        List<Record> records = client.getRecords(b -> b.shardIterator(it)).records();
        for (Record r : records) {
            System.out.println("got " + r.sequenceNumber() + " " + r.approximateArrivalTimestamp().toEpochMilli() + " "
                    + HexFormat.of().formatHex(r.partitionKey().getBytes(StandardCharsets.UTF_8)) + " "
                    + HexFormat.of().formatHex(r.data().asByteArray()));
        }
    }

    static void missing(KinesisClient client) {
        try {
            client.describeStreamSummary(b -> b.streamName("missing"));
        } catch (ResourceNotFoundException e) {
            System.out.println("missing " + e.statusCode() + " " + e.awsErrorDetails().errorCode() + " " + e.awsErrorDetails().errorMessage());
        }
    }
}
